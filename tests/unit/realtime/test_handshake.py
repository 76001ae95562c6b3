import pytest
from websockets.protocol import OPEN

from app.errors import UpgradeRequired
from app.realtime.handshake import accept, offered_subprotocols

HEADERS = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def answer(**headers: str) -> list[str]:
    protocol = accept({**HEADERS, **headers}, {"x-request-id": "req_1"})
    assert protocol.state is OPEN
    [sent] = protocol.data_to_send()
    return sent.decode().split("\r\n")


def test_the_answer() -> None:
    lines = answer()
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines
    assert "x-request-id: req_1" in lines
    assert "Sec-WebSocket-Protocol" not in "".join(lines)


def test_a_key_is_not_sent_back() -> None:
    offered = "realtime, openai-insecure-api-key.sk-key"
    lines = answer(**{"Sec-WebSocket-Protocol": offered})
    assert "Sec-WebSocket-Protocol: realtime" in lines
    assert "sk-key" not in "".join(lines)


def test_nothing_is_compressed() -> None:
    lines = answer(**{"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"})
    assert "permessage-deflate" not in "".join(lines)


@pytest.mark.parametrize(
    "changed",
    [
        {"Upgrade": ""},
        {"Upgrade": "h2c"},
        {"Connection": "close"},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Key": ""},
        {"Sec-WebSocket-Version": "8"},
    ],
    ids=str,
)
def test_what_is_no_handshake(changed: dict[str, str]) -> None:
    with pytest.raises(UpgradeRequired, match="WebSocket"):
        accept({**HEADERS, **changed}, {})


def test_subprotocols_are_in_the_clients_order() -> None:
    assert offered_subprotocols({"Sec-WebSocket-Protocol": "b, a ,c"}) == ["b", "a", "c"]
    assert offered_subprotocols({}) == [""]
