"""Headless Chromium, as Debian has it: what it shows, what it asks for, and what it complains about."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
"""Of the pages, for people to look at; git ignores the folder."""

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # it can't sandbox itself as root, as in a container
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--autoplay-policy=no-user-gesture-required",
    "--lang=en",
    "--window-size=1280,1600",
)


class Browser(webdriver.Chrome):
    """A driver that finds elements by CSS selectors, waits patiently, and knows what was saved."""

    downloads: Path

    def find(self, selector: str) -> WebElement:
        """The first element."""
        return self.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """All elements."""
        return self.find_elements(By.CSS_SELECTOR, selector)

    def text_of(self, selector: str) -> str:
        """The text of the first element, seen or not."""
        return str(self.find(selector).get_property("textContent"))

    def wait(self, condition: Callable[["Browser"], Any]) -> Any:
        """The first true value of a condition."""
        return patiently(self).until(lambda _: condition(self))

    def saved(self, name: str) -> Path:
        """A file that a page has saved, once it is complete."""
        path = self.downloads / name
        self.wait(lambda _: path.exists() and not list(self.downloads.glob("*.crdownload")))
        return path


@contextmanager
def chromium(folder: Path, *arguments: str, language: str = "en") -> Iterator[Browser]:
    """A browser on an empty page, which keeps its profile, downloads and all else that it writes in `folder`.

    Both programs are named, so Selenium looks for none and downloads none.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}", *arguments):
        options.add_argument(argument)
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    preferences = {"download.default_directory": str(downloads), "intl.accept_languages": language}
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environ = {**os.environ, "HOME": str(folder), "SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    driver = Browser(options, Service(shutil.which("chromedriver"), env=environ))
    driver.downloads = downloads
    try:
        driver.get("about:blank")
        driver.get_log("performance")
        yield driver
    finally:
        driver.quit()


def patiently(driver: webdriver.Chrome) -> WebDriverWait[webdriver.Chrome]:
    """Waits for what a page will show, also while it replaces elements."""
    ignored = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(driver, PATIENCE_SECONDS, ignored_exceptions=ignored)


def requested(driver: webdriver.Chrome) -> list[str]:
    """What the page has asked for since the last call, its own `data:` and `blob:` addresses left out.

    That is all that the page, its scripts and styles made the browser request, according to the browser.
    """
    urls = [params["request"]["url"] for params in _events(driver, "Network.requestWillBeSent")]
    return [url for url in urls if not url.startswith(("data:", "blob:"))]


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the console has said since the last call, violations of the page's security policy among it."""
    return [entry["message"] for entry in driver.get_log("browser")]


def _events(driver: webdriver.Chrome, method: str) -> Iterator[dict[str, Any]]:
    """The parameters of the events of Chromium's debugging protocol that have come since the last call."""
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == method:
            yield message["params"]
