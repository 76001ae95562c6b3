"""The page for everybody: at every width, in the dark, in German, to a screen reader, by microphone."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.functional.browser import SCREENSHOTS, Browser, chromium, complaints, requested
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.node_programs import NODE
from tests.functional.page import Page
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT, convert

pytestmark = pytest.mark.slow

AXE = NODE / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """
const done = arguments[0];
axe.run({resultTypes: ["violations"]}).then(({violations}) => done(
    violations.filter(each => ["serious", "critical"].includes(each.impact))
        .map(each => `${each.id}: ${each.nodes.map(node => node.html).join(" ")}`)));
"""
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDTHS = {360: 1400, 1280: 1000, 3840: 2160}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists() and "CI" not in os.environ:
        pytest.skip("needs axe-core: `make test` installs it")
    return AXE.read_text(encoding="utf-8")


def set_width(browser: Browser, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": WIDTHS[width], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.mark.parametrize("look", [*product(WIDTHS, ["light", "dark"])], ids=str)
def test_every_width_in_light_and_dark(
    browser: Browser, server: GunicornServer, axe: str, tmp_path: Path, look: tuple[int, str]
) -> None:
    """Nothing sticks out, and axe-core finds nothing serious; the screenshots are for people."""
    width, scheme = look
    unreadable = tmp_path / f"a name {'that is much too long ' * 6}.wav"
    unreadable.write_bytes(b"no recording at all")
    set_width(browser, width, scheme)
    page = Page(browser, server.url)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.wait(lambda _: browser.find_all("#option-model option"))
    browser.execute_script(axe)
    found = {"empty": examined(browser)}
    page.drop(unreadable)
    page.wait_for_state(unreadable.name, "failed")
    page.transcribe(FLAGSHIP, DATA / "minute.flac")
    page.click(page.items()["minute.flac"], ".open")
    browser.wait(lambda _: browser.find("#player").is_displayed())
    browser.find("#correct").click()
    browser.find("#options summary").click()
    browser.execute_script("scrollTo(0, 0)")
    browser.save_screenshot(str(SCREENSHOTS / f"page-{width}-{scheme}.png"))
    found["text"] = examined(browser)
    browser.execute_script("location.hash = '#speak'")
    browser.wait(lambda _: browser.find("#speak").is_displayed())
    browser.save_screenshot(str(SCREENSHOTS / f"speak-{width}-{scheme}.png"))
    found["speak"] = examined(browser)
    assert {state: problems for state, problems in found.items() if problems} == {}


def examined(browser: Browser) -> list[str]:
    """What sticks out, what the console says (but for refused requests) and what axe-core finds."""
    problems = [each for each in complaints(browser) if "Failed to load resource" not in each]
    if overflow := browser.execute_script(OVERFLOW):
        problems.append(f"{overflow} px stick out")
    problems += browser.execute_async_script(RUN_AXE)
    complaints(browser)  # axe-core's own attempts at styles, which the policy blocks
    return problems


def test_axe_would_find_a_fault(browser: Browser, server: GunicornServer, axe: str) -> None:
    Page(browser, server.url)
    browser.execute_script(axe)
    browser.execute_script("document.querySelector('#option-language').parentElement.firstChild.remove()")
    assert any(problem.startswith("select-name") for problem in browser.execute_async_script(RUN_AXE))


def test_a_violation_of_the_policy_would_be_seen(browser: Browser, server: GunicornServer) -> None:
    Page(browser, server.url)
    browser.execute_script(
        "document.body.append(Object.assign(new Image(), {src: 'http://192.0.2.1/x.png'}))"
    )
    browser.wait(lambda _: any("Content Security Policy" in line for line in complaints(browser)))


def test_german_where_the_browser_wants_it(server: GunicornServer, tmp_path: Path) -> None:
    with chromium(tmp_path, "--lang=de", language="de") as browser:
        page = Page(browser, server.url)
        assert browser.title == "Sprache zu Text"
        assert browser.find("html").get_dom_attribute("lang") == "de"
        browser.wait(lambda _: browser.text_of("#drop-limits") == "Je höchstens 100 MiB und 4 Stunden.")
        page.transcribe(FLAGSHIP)
        assert page.text(page.items()["flagship.wav"], ".delete") == "Löschen"
        assert complaints(browser) == []


def test_the_microphone_is_read_while_somebody_speaks_and_recorded(
    server: GunicornServer, tmp_path: Path
) -> None:
    spoken = convert(FLAGSHIP, tmp_path / "spoken.wav", "-ar", "48000", "-af", "adelay=300,apad=pad_dur=1")
    arguments = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}%noloop",
    )
    with chromium(tmp_path / "browser", *arguments) as browser:
        page = Page(browser, server.url)
        browser.find("#record").click()
        browser.wait(lambda _: float(str(browser.find("#level").get_property("value"))) > 0.05)
        browser.wait(lambda _: browser.text_of("#live-text") == FLAGSHIP_TEXT)
        assert not browser.find("#text-empty").is_displayed()
        browser.find("#record").click()
        browser.wait(lambda _: page.items())
        [name] = page.items()
        page.wait_for_state(name, "done")
        assert name.startswith("Recording ") and name.endswith(".webm")
        assert " ".join(page.paragraphs()) == FLAGSHIP_TEXT
        assert not browser.find("#recording").is_displayed()
        assert not [url for url in requested(browser) if "client_secrets" in url]  # no key, no secret
        assert complaints(browser) == []


def test_without_https_the_page_says_why_it_can_t_record(server: GunicornServer, tmp_path: Path) -> None:
    host = "whisper.intranet"
    with chromium(tmp_path, f"--host-resolver-rules=MAP {host} 127.0.0.1, MAP * ~NOTFOUND") as browser:
        page = Page(browser, f"http://{host}:{server.port}")
        browser.find("#record").click()
        browser.wait(lambda _: browser.find("#record-problem").is_displayed())
        assert "only on pages with https" in browser.text_of("#record-problem")
        page.transcribe(FLAGSHIP)  # everything else works there
        assert page.paragraphs() == [FLAGSHIP_TEXT]
        browser.find("#copy").click()
        browser.wait(lambda _: browser.text_of("#copy") == "Copied")


def test_a_text_is_spoken_and_saved(browser: Browser, server: GunicornServer) -> None:
    set_width(browser, 1280, "light")
    page = Page(browser, server.url)
    browser.execute_script("location.hash = '#speak'")
    browser.wait(lambda _: len(browser.find_all("#speak-voice option")) == 13)
    browser.find("#speak-text").send_keys("The sun rises in the east and sets in the west.")
    browser.find("#speak-button").click()
    browser.wait(lambda _: browser.find("#speak-result").is_displayed())
    seconds = "return document.getElementById('speak-audio').duration"
    browser.wait(lambda _: (browser.execute_script(seconds) or 0) > 1)
    browser.find("#speak-download").click()
    spoken = browser.saved("speech.mp3")
    browser.execute_script("location.hash = '#transcribe'")
    page.transcribe(spoken)
    assert page.paragraphs() == [FLAGSHIP_TEXT]
    assert [url for url in requested(browser) if not url.startswith(f"{server.url}/")] == []


def test_a_refused_text_is_told(browser: Browser, server: GunicornServer) -> None:
    Page(browser, server.url)
    browser.execute_script("location.hash = '#speak'")
    browser.find("#speak-text").send_keys("   ")
    browser.find("#speak-button").click()
    browser.wait(lambda _: browser.find("#speak-problem").is_displayed())
    assert browser.text_of("#speak-problem").startswith("Invalid 'input': ")
