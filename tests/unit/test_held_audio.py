"""How much sound requests may hold together."""

from threading import Barrier, Thread

import pytest

from app.errors import ServerBusy
from app.held_audio import MAX_SECONDS, HeldAudio
from app.waveform import SAMPLE_RATE

SECOND = SAMPLE_RATE


def test_two_recordings_of_the_default_limit() -> None:
    assert HeldAudio().most_seconds == MAX_SECONDS == 28_800


def test_what_is_over_is_refused_until_another_request_has_ended() -> None:
    held = HeldAudio(10)
    with held.share() as second:
        with held.share() as first:
            first.take(6 * SECOND)
            second.take(4 * SECOND)
            with pytest.raises(ServerBusy) as caught:
                second.take(1)
            assert held.samples == 10 * SECOND
        second.take(6 * SECOND)
    assert held.samples == 0
    assert caught.value.retry_after_seconds == 30
    assert caught.value.message == (
        "0.0 seconds of audio are more than there is room for beside the recordings that the server is "
        "working on: it holds 10 seconds at a time, each channel counted. Please retry later."
    )


def test_a_request_alone_may_hold_what_its_own_limits_allow() -> None:
    held = HeldAudio(10)
    with held.share() as alone:
        alone.take(8 * SECOND)
        alone.take(8 * SECOND)
        with held.share() as other, pytest.raises(ServerBusy):
            other.take(1)
    assert held.samples == 0


def test_all_is_given_back_however_a_request_ends() -> None:
    held = HeldAudio(10)
    with pytest.raises(KeyError), held.share() as share:
        share.take(3 * SECOND)
        raise KeyError
    assert held.samples == 0
    share.close()
    assert held.samples == 0


def test_nothing_is_lost_between_threads() -> None:
    held, together = HeldAudio(10**6), Barrier(8, timeout=60)

    def request() -> None:
        together.wait()
        for _ in range(500):
            with held.share() as share:
                share.take(7)
                share.take(5)

    threads = [Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held.samples == 0


def test_a_share_is_split_without_asking_again() -> None:
    held = HeldAudio(1)
    share = held.share()
    share.take(16_000)
    part = share.split(10_000)
    assert (share.samples, part.samples, held.samples) == (6_000, 10_000, 16_000)
    rest = share.split(10_000)
    assert (share.samples, rest.samples) == (0, 6_000)
    part.close()
    assert held.samples == 6_000
