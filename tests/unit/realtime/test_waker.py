import select

from app.realtime.waker import Waker


def is_readable(waker: Waker) -> bool:
    poller = select.poll()
    poller.register(waker, select.POLLIN)
    return bool(poller.poll(0))


def test_it_is_readable_until_it_is_cleared() -> None:
    waker = Waker()
    assert not is_readable(waker)
    for _ in range(2):
        waker.wake()
        waker.wake()
        assert is_readable(waker)
        waker.clear()
        assert not is_readable(waker)
    waker.clear()
    waker.close()


def test_nothing_happens_once_it_is_closed() -> None:
    waker = Waker()
    waker.close()
    waker.wake()
    assert waker.fileno() == -1
