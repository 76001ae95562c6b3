"""Bytes that are nearly an HTTP request, or not even nearly."""

from random import Random

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
CHAT = "/v1/chat/completions"
FORM = "multipart/form-data; boundary=b"
MODEL = {"model": "whisper-1"}


def http(path: str, content_type: str, body: bytes, *headers: str, length: bool = True) -> bytes:
    """A request that is well-formed as far as `headers` are."""
    sent = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Type: {content_type}", *headers]
    if length:
        sent.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*sent, "", ""]).encode("latin-1") + body


def form(fields: dict[str, str], file: bytes | None, name: str = "a.wav") -> bytes:
    """A multipart body with the boundary `b`; halves of surrogate pairs are sent as they are."""
    disposition = "--b\r\nContent-Disposition: form-data; name="
    parts = [f'{disposition}"{field}"\r\n\r\n{value}\r\n' for field, value in fields.items()]
    body = "".join(parts).encode("utf-8", "surrogatepass")
    if file is not None:
        head = f'{disposition}"file"; filename="{name}"\r\n\r\n'
        body += head.encode("utf-8", "surrogatepass") + file + b"\r\n"
    return body + b"--b--\r\n"


def cut(random: Random, data: bytes) -> bytes:
    """The beginning of some bytes."""
    return data[: random.randrange(len(data) or 1)]


def mutated(random: Random, data: bytes, first: int = 0, most: int = 20) -> bytes:
    """Some bytes replaced, left out, said twice or put in from place `first` on."""
    changed = bytearray(data)
    for _ in range(random.randint(1, most)):
        place = random.randrange(first, max(first + 1, len(changed)))
        length = random.choice((1, 1, 2, 4, 32))
        twice = bytes(changed[place : place + length]) * 2
        new = random.choice((random.randbytes(length), b"\xff" * length, b"\0" * length, b"", twice))
        changed[place : place + random.choice((0, length, len(new)))] = new
    return bytes(changed)


HEADERS = (
    *("Content-Type: application/json", "Content-Type:", "Content-Encoding: gzip", "Content-MD5: x"),
    *("Content-Length: 0", "Content-Length: -5", "Content-Length: 1_0", f"Content-Length: {10**20}"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: cow"),
    *("Authorization: Bearer", "Authorization: Basic !!!", "Authorization: Digest =,=", "Cookie: ;;=;\x00"),
    *("Accept: \xff\xfe", "Accept-Encoding: \x01", "Range: bytes=9-1", 'If-None-Match: "', "Date: never"),
    *(
        "X-Request-ID: \xe9",
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-For: ;",
        "Forwarded: for=",
        "Origin: null",
    ),
    *("Expect: 100-continue", "Expect: the-unexpected", "Upgrade: h2c", "TE: trailers", "Trailer: x"),
    *("Connection: close, keep-alive", "Connection: upgrade", "Host: [::", "Host: a b", "Host: \xff"),
    *(": empty", "No colon here", "Space : before", "\tfolded: line", "X-Under_score: 1", "SCRIPT_NAME: /v1"),
)


def mutated_headers(random: Random, file: bytes) -> bytes:
    """Headers that contradict each other or HTTP."""
    several = random.sample(HEADERS, random.randint(1, 3))
    if random.random() < 0.2:
        several = random.choice(([f"X-{number}: y" for number in range(200)], ["X: " + "y" * 20_000]))
    body = form(MODEL, file[:80])
    return http(random.choice((TRANSCRIPTIONS, CHAT, "/v1/models")), FORM, body, *several)


SIZES = (b"zz", b"-1", b"", b"1;x=\x01", b"f" * 18, b"0x5", b"5 ")


def mutated_chunks(random: Random, file: bytes) -> bytes:
    """A chunked body whose sizes lie."""
    whole = form(MODEL, file[:80])
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(whole), whole)
    match random.randrange(4):
        case 0:
            body = mutated(random, body)
        case 1:
            body = cut(random, body)
        case _:
            body = random.choice(SIZES) + b"\r\n" + body
    kind = random.choice((FORM, "application/json"))
    return http(TRANSCRIPTIONS, kind, body, "Transfer-Encoding: chunked", length=False)


LINES = (
    *("GET / HTTP/9.9", "GET /health", "GET  /health  HTTP/1.1", " GET / HTTP/1.1", "/ HTTP/1.1", "\x00"),
    *("FOO /health HTTP/1.1", "get /health HTTP/1.1", "TRACE / HTTP/1.1", "HEAD /v1/models HTTP/1.1"),
    *(
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET /?\x00 HTTP/1.1",
    ),
    *("GET http://[::1/x HTTP/1.1", "GET http://elsewhere/health HTTP/1.1", "GET //v1//models HTTP/1.1"),
    *("GET /%00%ff%2e%2e/ HTTP/1.1", "GET /v1/models/\xff\xfe HTTP/1.1", "GET /../../etc/passwd HTTP/1.1"),
    *("POST /v1/chat/completions?a=%ff&a=%zz HTTP/1.1", "DELETE /v1/models/whisper-1 HTTP/1.0"),
    *("GET /v1/models/%F0%9F%98%80%ED%A0%80 HTTP/1.1", f"GET /{'x' * 9_000} HTTP/1.1"),
)


def mutated_http(random: Random, file: bytes) -> bytes:
    """Request lines and whole requests that are not quite HTTP."""
    whole = http(TRANSCRIPTIONS, FORM, form(MODEL, file[:80]))
    match random.randrange(4):
        case 0:
            return mutated(random, whole[:140]) + whole[140:]
        case 1:
            return cut(random, whole)
        case _:
            return f"{random.choice(LINES)}\r\nHost: here\r\n\r\n".encode("latin-1")


OTHER_PROTOCOLS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 9 9\r\n",
    b"\r\n" * 9,
    b"",
)


def noise(random: Random, file: bytes) -> bytes:
    """Not HTTP at all."""
    length = round(2 ** random.uniform(0, 13))
    return random.choice(OTHER_PROTOCOLS) + random.choice((random.randbytes(length), file))
