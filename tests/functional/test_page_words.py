"""The times of words in a corrected text, by the page's own module in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.browser import Browser, chromium
from tests.functional.gunicorn_server import GunicornServer

BEFORE = "The server is ready."
PLACED = """
const [before, after, done] = arguments;
import(new URL("words.js", location.href)).then(({placed, moved}) => {
    const heard = before.match(/[^\\s.]+/g)
        .map((word, i) => ({word, start: i, end: i + 1, probability: 0.5}));
    const words = moved(placed(before, heard), before, after);
    done(words.map(word => [after.slice(word.from, word.to), word.start, word.end, word.probability]));
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, server: GunicornServer) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        running.get(f"{server.url}/web/words.js")
        yield running


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (BEFORE, [("The", 0, 1), ("server", 1, 2), ("is", 2, 3), ("ready", 3, 4)]),
        ("The servers is ready.", [("The", 0, 1), ("servers", 1, 2, 1), ("is", 2, 3), ("ready", 3, 4)]),
        ("The is ready.", [("The", 0, 1), ("is", 2, 3), ("ready", 3, 4)]),
        (
            "The web server is ready.",
            [("The", 0, 1), ("web", 1, 1, 1), ("server", 1, 2), ("is", 2, 3), ("ready", 3, 4)],
        ),
        (
            "The big machine is ready.",
            [("The", 0, 1), ("big", 1, 1.5, 1), ("machine", 1.5, 2, 1), ("is", 2, 3), ("ready", 3, 4)],
        ),
        (
            "The server is ready. Thanks!",
            [("The", 0, 1), ("server", 1, 2), ("is", 2, 3), ("ready", 3, 4), ("Thanks", 4, 4, 1)],
        ),
        ("Ready", [("Ready", 0, 4, 1)]),
        ("", []),
    ],
)
def test_words_that_stay_keep_their_times(browser: Browser, after: str, words: list[tuple[Any, ...]]) -> None:
    found = browser.execute_async_script(PLACED, BEFORE, after)
    assert found == [[*word, 0.5] if len(word) == 3 else [*word] for word in words]
