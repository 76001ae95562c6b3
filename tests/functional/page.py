"""The page for people in a browser: what its tests do and read there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver.remote.webelement import WebElement

from tests.functional.browser import Browser, complaints, requested

_FORGET = """
const done = arguments[0];
localStorage.clear();
sessionStorage.clear();
const request = indexedDB.deleteDatabase("recordings");
request.onsuccess = request.onerror = request.onblocked = () => done();
"""
_PARAGRAPHS = "return [...document.querySelectorAll('#segments p')].map(each => each.textContent)"
_LOADED = "return document.body?.dataset.ready === 'true'"


class Page:
    """The page at a URL, opened without anything that was kept before."""

    def __init__(self, browser: Browser, url: str, *, fresh: bool = True) -> None:
        self.browser = browser
        self.url = url
        if fresh:
            # A file of the same origin that runs no script: nothing holds the database open.
            browser.get(f"{url}/web/icon.svg")
            browser.execute_async_script(_FORGET)
        requested(browser)
        complaints(browser)
        browser.get(f"{url}/")
        self.wait_until_loaded()

    def wait_until_loaded(self) -> None:
        """Until what is kept is shown."""
        self.browser.wait(lambda browser: browser.execute_script(_LOADED))

    def reload(self) -> None:
        """Open the page again, with all that it keeps."""
        self.browser.refresh()
        self.wait_until_loaded()

    def drop(self, *files: Path) -> None:
        """Drop files from outside of the browser."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.browser.execute_cdp_cmd(
                "Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data}
            )

    def items(self) -> dict[str, WebElement]:
        """The recordings in the list, by name."""
        found = self.browser.find_all("#list li")
        return {self.text(item, ".name"): item for item in found}

    def text(self, item: WebElement, selector: str) -> str:
        """The text of a part of an item."""
        return str(item.find_element("css selector", selector).get_property("textContent"))

    def wait_for_state(self, name: str, *states: str) -> WebElement:
        """The item with this name, once it is in one of these states."""
        return self.browser.wait(lambda _: self._item_in(name, states))

    def _item_in(self, name: str, states: Sequence[str]) -> WebElement | None:
        item = self.items().get(name)
        return item if item and item.get_dom_attribute("data-state") in states else None

    def click(self, item: WebElement, selector: str) -> None:
        """Click on a part of an item."""
        item.find_element("css selector", selector).click()

    def paragraphs(self) -> list[str]:
        """The text that is shown, by segment."""
        texts: list[str] = self.browser.execute_script(_PARAGRAPHS)
        return texts

    def transcribe(self, *files: Path) -> None:
        """Drop files and wait for their texts."""
        self.drop(*files)
        for file in files:
            self.wait_for_state(file.name, "done")


@contextmanager
def watched_page(browser: Browser, url: str) -> Iterator[Page]:
    """The page, opened anew. On leaving, it must have complained of nothing, and asked no other origin."""
    yield Page(browser, url)
    assert complaints(browser) == []
    assert [address for address in requested(browser) if not address.startswith(f"{url}/")] == []
