"""The spellings of a URL that clients make of a base URL -> the one that this server knows.

A doubled or a missing `/v1`, doubled slashes, a slash at the end, Azure's `/openai/v1/...` and
`/openai/deployments/{name}/...` are the same URL, and no redirect: whoever sends a body sends it once.
Whatever looks at a request's path sees the one spelling; `IncomingRequest.sent_path` is the client's.
"""

from collections.abc import Callable, Iterator

_BASES = ("v1", "openai")
_DEPLOYMENTS = "deployments"
_LONGEST_ENDPOINT = 2
"""Segments behind a deployment's name, which may have slashes of its own: `chat/completions`, `responses`."""


def canonical(path: str, known: Callable[[str], bool]) -> tuple[str, str]:
    """The spelling of a path that is `known`, and the deployment that it names, or "".

    A path that is known in no spelling stays as it is.
    """
    if "//" not in path and not path.endswith("/") and known(path):
        return path, ""
    segments = [segment for segment in path.split("/") if segment]
    for spelling, deployment in _spellings(segments):
        if known(spelling):
            return spelling, deployment
    return path, ""


def _spellings(segments: list[str]) -> Iterator[tuple[str, str]]:
    yield f"/{'/'.join(segments)}", ""
    start = next((at for at, segment in enumerate(segments) if segment not in _BASES), len(segments))
    rest = segments[start:]
    if rest[:1] != [_DEPLOYMENTS]:
        yield _under_v1(rest), ""
        return
    for length in range(_LONGEST_ENDPOINT, 0, -1):
        name = "/".join(rest[1:-length])
        if name:
            yield _under_v1(rest[-length:]), name


def _under_v1(segments: list[str]) -> str:
    return "/".join(("/v1", *segments))
