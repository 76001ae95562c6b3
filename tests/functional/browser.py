"""Headless Chromium, as Debian has it: what it shows, what it asks for, and what it complains about."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from tests.functional.gunicorn_server import PATIENCE_SECONDS

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # it can't sandbox itself as root, as in a container
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1280,1600",
)


@contextmanager
def chromium(folder: Path, *arguments: str) -> Iterator[webdriver.Chrome]:
    """A browser on an empty page, which keeps its profile and all else that it writes in `folder`.

    Both programs are named, so Selenium looks for none and downloads none.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*_ARGUMENTS, f"--user-data-dir={folder / 'profile'}", *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environ = {**os.environ, "HOME": str(folder), "SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver"), env=environ))
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
