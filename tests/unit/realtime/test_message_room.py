from app.realtime.message_room import SHORT_BYTES, MessageRoom

LONG = SHORT_BYTES + 1


def test_there_is_room_for_so_much_together() -> None:
    room = MessageRoom(3 * LONG)
    first, second = room.place(), room.place()
    assert first.resize(2 * LONG)
    assert not second.resize(2 * LONG)
    assert second.resize(LONG)
    assert room.taken_bytes == 3 * LONG
    assert first.resize(0)
    assert second.resize(3 * LONG)
    assert second.resize(0)
    assert room.taken_bytes == 0


def test_short_messages_need_none() -> None:
    room = MessageRoom(LONG)
    full, other = room.place(), room.place()
    assert full.resize(LONG)
    assert other.resize(SHORT_BYTES)
    assert not other.resize(LONG)
    assert (room.taken_bytes, other.size) == (LONG, 0)


def test_it_can_always_become_less() -> None:
    room = MessageRoom(4 * LONG)
    place = room.place()
    assert place.resize(4 * LONG)
    room.most_bytes = LONG
    assert place.resize(3 * LONG)
