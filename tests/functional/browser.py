"""A real Chromium without a window, driven by selenium, which downloads nothing: both programs are Debian's."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--autoplay-policy=no-user-gesture-required",
    "--lang=en",
)

_WITHOUT_NETWORK = ("blob:", "chrome:", "data:")


class Browser(Chrome):
    """Chromium with a profile of its own, and what it has asked for and complained about."""

    downloads: Path

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector names."""
        return self.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """All elements that a CSS selector names."""
        return self.find_elements(By.CSS_SELECTOR, selector)

    def text_of(self, selector: str) -> str:
        """The text of an element, seen or not."""
        return str(self.find(selector).get_property("textContent"))

    def wait(self, condition: Callable[["Browser"], Any]) -> Any:
        """The first true value of a condition; fails after PATIENCE_SECONDS."""
        return WebDriverWait(self, PATIENCE_SECONDS, 0.05).until(lambda _: condition(self))

    def requested(self) -> list[str]:
        """The URLs that pages have requested by network since the last call; Chromium's own aren't among them."""
        messages = (json.loads(entry["message"])["message"] for entry in self.get_log("performance"))
        urls = (
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        )
        return [url for url in urls if not url.startswith(_WITHOUT_NETWORK)]

    def complaints(self) -> list[str]:
        """What the console says of violated policies and of scripts that failed, since the last call."""
        return [
            entry["message"]
            for entry in self.get_log("browser")
            if re.search("Content Security Policy|Uncaught|TypeError|ReferenceError", entry["message"])
        ]

    def saved(self, name: str) -> Path:
        """A downloaded file, once it is complete."""
        path = self.downloads / name
        self.wait(lambda _: path.exists() and not path.with_name(f"{name}.crdownload").exists())
        return path


@contextmanager
def chromium(folder: Path, *arguments: str, **preferences: Any) -> Iterator[Browser]:
    """A browser that keeps its profile, its downloads and its log below `folder`."""
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    options = ChromeOptions()
    for argument in (*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}", *arguments):
        options.add_argument(argument)
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(downloads), "intl.accept_languages": "en", **preferences},
    )
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.binary_location = _program("chromium")
    service = Service(_program("chromedriver"), log_output=str(folder / "chromedriver.log"))
    browser = Browser(options, service)
    browser.downloads = downloads
    try:
        yield browser
    finally:
        browser.quit()


def _program(name: str) -> str:
    """Raises FileNotFoundError, which skips the test outside of CI."""
    path = which(name)
    if path is None:
        raise FileNotFoundError(2, "No such program", name)
    return path
