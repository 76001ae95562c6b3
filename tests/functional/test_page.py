"""The page for people: recordings are dropped, heard, cancelled, refused and resumed, in a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.browser import Browser, chromium, complaints, requested
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.interrupting_proxy import SENTENCE, InterruptingProxy, Interruption
from tests.functional.nginx_proxy import Nginx
from tests.functional.page import Page, watched_page
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, MODEL_NOTICE, silence

MINUTE = DATA / "minute.flac"
KEY = "sk-page-0123456789abcdef"
TRANSCRIPTIONS = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: GunicornServer) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """A server that wants a key and takes little."""
    environ = {
        "WHISPER_API_KEYS": KEY,
        "WHISPER_MAX_UPLOAD_MB": "1",
        "WHISPER_MAX_AUDIO_SECONDS": "30",
    }
    with GunicornServer(tmp_path_factory.mktemp("strict") / "server.log", **environ) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def proxy(server: GunicornServer) -> Iterator[InterruptingProxy]:
    with InterruptingProxy(server) as running:
        yield running


def test_a_dropped_recording_is_read(page: Page, browser: Browser) -> None:
    page.transcribe(FLAGSHIP)
    assert page.paragraphs() == [FLAGSHIP_TEXT]
    assert browser.text_of("#text-name") == "flagship.wav"
    browser.wait(lambda _: browser.text_of("#notice") == MODEL_NOTICE)


def test_two_at_once_are_read_each(page: Page) -> None:
    page.transcribe(FLAGSHIP, DATA / "numbers.wav")
    page.click(page.items()["numbers.wav"], ".open")
    assert page.paragraphs() == [EXPECTED["numbers.wav"]["text"]]
    page.click(page.items()["flagship.wav"], ".open")
    assert page.paragraphs() == [FLAGSHIP_TEXT]


def test_a_name_like_a_script_is_text(page: Page, browser: Browser, tmp_path: Path) -> None:
    name = '<img src=x onerror="document.title=1">.wav'
    page.transcribe(Path(shutil.copy(FLAGSHIP, tmp_path / name)))
    assert list(page.items()) == [name]
    assert browser.text_of("#text-name") == name
    assert browser.find_all("#list img, #text img") == []
    assert browser.title == "Speech to text"


def test_a_translation(page: Page, browser: Browser) -> None:
    browser.find("#options summary").click()
    browser.find("#option-translate").click()
    page.transcribe(DATA / "german.wav")
    assert " ".join(page.paragraphs()) == EXPECTED["german.wav"]["translation"]


def test_options_are_remembered_by_the_browser(page: Page, browser: Browser) -> None:
    browser.execute_script("document.getElementById('option-language').value = 'de'")
    browser.find("#options summary").click()
    browser.find("#option-prompt").send_keys("Anna\t")
    browser.find("#option-words").click()
    page.reload()
    assert browser.find("#option-language").get_property("value") == "de"
    assert browser.find("#option-prompt").get_property("value") == "Anna"
    assert browser.find("#option-words").get_property("checked") is False


def test_a_stream_that_is_held_back_shows_the_bar_standing(
    browser: Browser, server: GunicornServer, proxy: InterruptingProxy
) -> None:
    whole = server.transcribe(MINUTE, response_format="verbose_json").json()
    held = proxy.interrupt(Interruption(events=3))
    page = Page(browser, proxy.url)
    page.drop(MINUTE)
    item = page.wait_for_state("minute.flac", "hearing")
    browser.wait(lambda _: len(page.paragraphs()) == 3)
    bar = item.find_element("css selector", "progress")
    browser.wait(lambda _: held.reached.is_set())
    heard = whole["segments"][2]["end"] / whole["duration"]
    for _ in range(5):
        assert float(str(bar.get_property("value"))) == pytest.approx(heard, abs=0.001)
        assert page.text(item, ".state") == "Heard 0:10 of 1:04"
        assert len(page.paragraphs()) == 3
    held.go_on.set()
    page.wait_for_state("minute.flac", "done")
    assert len(page.paragraphs()) == 11


def test_cancel_closes_the_connection(browser: Browser, proxy: InterruptingProxy) -> None:
    held = proxy.interrupt(Interruption(events=3))
    page = Page(browser, proxy.url)
    before = proxy.transcriptions
    page.drop(MINUTE)
    item = page.wait_for_state("minute.flac", "hearing")
    browser.wait(lambda _: held.reached.is_set())
    page.click(item, ".cancel")
    page.wait_for_state("minute.flac", "cancelled")
    browser.wait(lambda _: held.gone.is_set())
    assert proxy.transcriptions == before + 1
    page.click(item, ".retry")
    page.wait_for_state("minute.flac", "done")
    assert len(page.paragraphs()) == 11


def test_a_busy_server_is_asked_again_when_it_says(browser: Browser, proxy: InterruptingProxy) -> None:
    proxy.interrupt(Interruption(status=503, retry_after=2))
    page = Page(browser, proxy.url)
    before = proxy.transcriptions
    page.drop(FLAGSHIP)
    item = page.wait_for_state("flagship.wav", "busy")
    assert page.text(item, ".state").startswith("The server is busy. Next try in ")
    page.wait_for_state("flagship.wav", "done")
    assert proxy.transcriptions == before + 2
    assert page.paragraphs() == [FLAGSHIP_TEXT]


def test_a_broken_connection_goes_on_without_a_click(browser: Browser, proxy: InterruptingProxy) -> None:
    cut = proxy.interrupt(Interruption(events=3, cut=True))
    held = proxy.interrupt(Interruption(events=1))
    page = Page(browser, proxy.url)
    before = proxy.transcriptions
    page.drop(MINUTE)
    browser.wait(lambda _: len(page.paragraphs()) == 3)
    cut.go_on.set()
    item = page.wait_for_state("minute.flac", "lost")
    assert page.text(item, ".state").startswith("The connection is lost. Next try in ")
    browser.wait(lambda _: held.reached.is_set())
    assert len(page.paragraphs()) == 3  # what was heard stays, though the stream comes again from its start
    held.go_on.set()
    page.wait_for_state("minute.flac", "done")
    assert len(page.paragraphs()) == 11
    assert proxy.transcriptions == before + 2


def test_a_refusal_is_the_server_s_sentence_beside_the_recording(
    browser: Browser, proxy: InterruptingProxy, tmp_path: Path
) -> None:
    proxy.interrupt(Interruption(status=400))
    page = Page(browser, proxy.url)
    page.drop(FLAGSHIP)
    assert page.text(page.wait_for_state("flagship.wav", "failed"), ".message") == SENTENCE
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no recording at all")
    page.drop(noise)
    message = page.text(page.wait_for_state("noise.wav", "failed"), ".message")
    assert message == "The audio file could not be decoded or its format is not supported."


def test_limits_are_shown_and_checked_before_the_upload(
    browser: Browser, strict: GunicornServer, tmp_path: Path
) -> None:
    large, long = tmp_path / "large.wav", tmp_path / "long.wav"
    large.write_bytes(silence(1.5 * 2**20 / 32_000))
    long.write_bytes(silence(31))
    page = Page(browser, strict.url)
    browser.wait(lambda _: browser.find("#key-dialog").is_displayed())
    browser.find("#key-cancel").click()
    browser.wait(lambda _: browser.text_of("#drop-limits") == "At most 1 MiB and 30 seconds each.")
    page.drop(large, long)
    refused = page.text(page.wait_for_state("large.wav", "failed"), ".message")
    assert refused == "This file has 1.5 MiB; the server takes at most 1 MiB."
    refused = page.text(page.wait_for_state("long.wav", "failed"), ".message")
    assert refused == "This recording is 31 seconds long; the server takes at most 30 seconds."
    assert [url for url in requested(browser) if TRANSCRIPTIONS in url] == []


def test_a_key_is_asked_for_and_kept_for_the_session(browser: Browser, strict: GunicornServer) -> None:
    page = Page(browser, strict.url)
    browser.wait(lambda _: browser.find("#key-dialog").is_displayed())
    assert "You didn't provide an API key." in browser.text_of("#key-message")
    browser.find("#key-input").send_keys("sk-wrong\n")
    browser.wait(lambda _: "Incorrect API key provided" in browser.text_of("#key-message"))
    browser.find("#key-input").send_keys(f"{KEY}\n")
    browser.wait(lambda _: not browser.find("#key-dialog").is_displayed())
    page.transcribe(FLAGSHIP)
    page.reload()
    browser.wait(lambda _: browser.find_all("#option-model option"))
    assert not browser.find("#key-dialog").is_displayed()
    assert browser.execute_script("return JSON.stringify({...localStorage})").find(KEY) == -1


LIVE_TEXT = """
const done = arguments[0];
const stream = new AudioContext().createMediaStreamDestination().stream;
import(new URL("web/live_text.js", document.baseURI)).then(({LiveText}) => {
    window.live = new LiveText(stream, {model: "whisper-1"}, async () => false, () => {});
    done();
});"""


def test_with_a_key_live_text_takes_a_client_secret(browser: Browser, strict: GunicornServer) -> None:
    Page(browser, strict.url)
    browser.execute_script("sessionStorage.setItem('api-key', arguments[0])", KEY)
    browser.execute_async_script(LIVE_TEXT)
    browser.wait(lambda _: "whisper_realtime_sessions 1.0" in metrics_of(strict))
    browser.execute_script("live.close()")
    strict.wait_for_log("realtime session closed")
    assert " who=key:" in strict.log
    assert any("client_secrets" in url for url in requested(browser))


def metrics_of(server: GunicornServer) -> str:
    headers = {"Authorization": f"Bearer {KEY}"}
    return requests.get(f"{server.url}/metrics", headers=headers, timeout=PATIENCE_SECONDS).text


def test_behind_nginx_and_a_prefix(browser: Browser, server: GunicornServer, tmp_path: Path) -> None:
    prefix = {
        "location / {": "location /speech/ {",
        "proxy_pass http://whisper;": "proxy_pass http://whisper/;",
    }
    with Nginx(tmp_path, f"127.0.0.1:{server.port}", **prefix) as nginx:
        page = Page(browser, f"{nginx.url}/speech")
        page.transcribe(FLAGSHIP)
        assert page.paragraphs() == [FLAGSHIP_TEXT]
        browser.wait(lambda _: browser.find_all("#option-model option"))
        assert {url for url in requested(browser) if not url.startswith(f"{nginx.url}/speech/")} == set()
        assert complaints(browser) == []


def test_a_413_of_nginx_is_told(browser: Browser, server: GunicornServer, tmp_path: Path) -> None:
    smaller = {"client_max_body_size 101m;": "client_max_body_size 10k;"}
    with Nginx(tmp_path, f"127.0.0.1:{server.port}", **smaller) as nginx:
        page = Page(browser, nginx.url)
        page.drop(FLAGSHIP)
        item = page.wait_for_state("flagship.wav", "failed")
        assert page.text(item, ".message").startswith("Maximum content size limit (101 MiB) exceeded")
