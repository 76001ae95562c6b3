"""The page's text: heard, corrected, kept and saved, in a real browser."""

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.functional.browser import Browser, chromium
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.page import Page, watched_page
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, convert, silence

pytestmark = pytest.mark.slow

UTTERANCES = DATA / "three_utterances.wav"
SENTENCES = ["Good morning.", "The server is ready.", "Please close the window."]
CORRECTED = ["Good evening.", "The server is ready.", "Please <close> the window."]

SPOKEN = "return [...CSS.highlights.get('spoken')].map(range => range.toString())"
WORD_CENTER = """
const [paragraph, from, to] = arguments;
const range = document.createRange();
range.setStart(paragraph.firstChild, from);
range.setEnd(paragraph.firstChild, to);
const { x, y, width, height } = range.getBoundingClientRect();
return [x + width / 2, y + height / 2];
"""
MANY = """
const done = arguments[0];
const words = Array.from({length: 20}, (_, i) => (
    {from: 5 * i, to: 5 * i + 4, start: i / 10, end: i / 10 + 0.1, probability: i % 2}));
const text = Array(20).fill("word").join(" ");
const segments = Array.from({length: 500}, (_, n) => ({
    start: 2 * n, end: 2 * n + 2, text, speaker: "",
    words: words.map(word => ({...word, start: word.start + 2 * n, end: word.end + 2 * n})),
}));
const opening = indexedDB.open("recordings");
opening.onsuccess = () => {
    const writing = opening.result.transaction("texts", "readwrite");
    writing.objectStore("texts").put({id: "many", name: "many.wav", bytes: 1, createdAt: 1, seconds: 1000,
                                      options: {model: "whisper-1"}, transcript: {segments, names: {}}});
    writing.oncomplete = () => { opening.result.close(); done(); };
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("browser"), "--window-size=1300,1000") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: GunicornServer) -> Iterator[Page]:
    with watched_page(browser, server.url) as opened:
        yield opened


def click_at(browser: Browser, x: float, y: float) -> None:
    """A real click, where the mouse would be."""
    for kind in ("mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def replace(browser: Browser, index: int, text: str) -> None:
    """Type a new text for a paragraph, over all of the old one."""
    browser.execute_script(
        "const p = document.querySelectorAll('#segments p')[arguments[0]]; p.focus();"
        "getSelection().selectAllChildren(p)",
        index,
    )
    browser.execute_cdp_cmd("Input.insertText", {"text": text})


def corrected(page: Page, browser: Browser) -> None:
    page.transcribe(UTTERANCES)
    assert page.paragraphs() == SENTENCES
    browser.find("#correct").click()
    for index, text in enumerate(CORRECTED):
        if text != SENTENCES[index]:
            replace(browser, index, text)
    assert page.paragraphs() == CORRECTED


def test_a_click_on_a_word_plays_from_it_and_marks_it(page: Page, browser: Browser) -> None:
    page.transcribe(UTTERANCES)
    browser.wait(lambda _: browser.find("#player").is_displayed())
    browser.find("#speed").send_keys("0.5")
    second = browser.find_all("#segments p")[1]
    word = SENTENCES[1].index("ready")
    click_at(browser, *browser.execute_script(WORD_CENTER, second, word, word + 5))
    assert browser.wait(lambda _: browser.execute_script(SPOKEN)) == ["ready"]
    browser.wait(lambda _: browser.execute_script(SPOKEN) == ["Please"])
    assert browser.find_all("#segments li")[2].get_dom_attribute("aria-current") == "true"


def test_the_keyboard_alone(page: Page, browser: Browser) -> None:
    page.transcribe(UTTERANCES)
    browser.wait(lambda _: browser.find("#player").is_displayed())
    browser.execute_script("document.activeElement.blur()")
    for key, segment in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)):
        press(browser, key)
        browser.wait(
            lambda _, segment=segment: browser.find_all("#segments li")[segment].get_dom_attribute(
                "aria-current"
            )
        )
    press(browser, " ")
    browser.wait(lambda _: browser.find("#play").get_dom_attribute("aria-label") == "Pause")
    press(browser, " ")
    browser.wait(lambda _: browser.find("#play").get_dom_attribute("aria-label") == "Play")


def press(browser: Browser, key: str) -> None:
    named = {"ArrowDown": Keys.ARROW_DOWN, "ArrowUp": Keys.ARROW_UP}
    ActionChains(browser).send_keys(named.get(key, key)).perform()


def test_unsure_words_are_marked_and_the_marks_switched(page: Page, browser: Browser) -> None:
    page.transcribe(DATA / "minute.flac")
    count = "return CSS.highlights.get('unsure').size"
    browser.wait(lambda _: browser.execute_script(count))
    browser.find("#unsure").click()
    assert browser.execute_script(count) == 0
    browser.find("#unsure").click()
    assert browser.execute_script(count) > 0


def test_undo_and_redo(page: Page, browser: Browser) -> None:
    corrected(page, browser)
    browser.find("#undo").click()
    assert page.paragraphs() == [CORRECTED[0], *SENTENCES[1:]]
    browser.find("#undo").click()
    assert page.paragraphs() == SENTENCES
    assert not browser.find("#undo").is_enabled()
    browser.find("#redo").click()
    browser.find("#redo").click()
    assert page.paragraphs() == CORRECTED
    assert not browser.find("#redo").is_enabled()


def saved(browser: Browser, suffix: str) -> str:
    browser.find(f"#formats [data-suffix={suffix}]").click()
    path = browser.saved(f"three_utterances.{suffix}")
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


def test_corrections_survive_a_reload_and_are_in_every_file(page: Page, browser: Browser) -> None:
    corrected(page, browser)
    browser.wait(
        lambda _: "evening" in str(browser.execute_async_script(KEPT))  # written a moment after typing
    )
    page.reload()
    page.click(page.items()[UTTERANCES.name], ".open")
    assert page.paragraphs() == CORRECTED
    browser.wait(lambda _: browser.find("#player").is_displayed())  # the sound was kept, too

    assert saved(browser, "txt") == f"{' '.join(CORRECTED)}\n"
    cue = r"(\d\d:\d\d:\d\d[,.]\d{3}) --> (\d\d:\d\d:\d\d[,.]\d{3})\n(.*)\n\n"
    srt = saved(browser, "srt")
    assert [text for _, _, text in re.findall(cue, srt)] == CORRECTED
    assert srt.startswith("1\n00:00:00,")
    vtt = saved(browser, "vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert [html.unescape(text) for _, _, text in re.findall(cue, vtt)] == CORRECTED
    assert "<close>" not in vtt
    found = json.loads(saved(browser, "json"))
    assert [segment["text"] for segment in found["segments"]] == CORRECTED
    assert found["name"] == UTTERANCES.name
    words = [word["word"] for segment in found["segments"] for word in segment["words"]]
    assert words == " ".join(CORRECTED).translate(str.maketrans("", "", ".<>")).split()
    times = [word["start"] for segment in found["segments"] for word in segment["words"]]
    assert times == sorted(times)
    page_text = saved(browser, "html")
    assert f"<p>{html.escape(' '.join(CORRECTED))}</p>" in page_text
    assert (
        saved(browser, "md")
        == f"# three\\_utterances\n\n{' '.join(CORRECTED[:2])} Please \\<close\\> the window.\n"
    )


KEPT = """
const done = arguments[0];
const opening = indexedDB.open("recordings");
opening.onsuccess = () => {
    const reading = opening.result.transaction("texts").objectStore("texts").getAll();
    reading.onsuccess = () => { opening.result.close(); done(JSON.stringify(reading.result)); };
};
"""


def test_speakers_are_named(page: Page, browser: Browser, tmp_path: Path) -> None:
    stereo = tmp_path / "call.wav"
    mixed = "[0:a][1:a]amerge=inputs=2"
    convert(FLAGSHIP, stereo, "-i", str(DATA / "numbers.wav"), "-filter_complex", mixed)
    browser.find("#options summary").click()
    browser.find("#option-speakers").click()
    page.transcribe(stereo)
    names = browser.find_all("#segments .speaker")
    assert [name.get_property("value") for name in names] == ["A", "B"]
    browser.execute_script("arguments[0].select()", names[1])
    names[1].send_keys("Maria\t")
    browser.find("#formats [data-suffix=txt]").click()
    text = browser.saved("call.txt").read_text(encoding="utf-8")
    assert text == f"A: {FLAGSHIP_TEXT}\nMaria: {EXPECTED['numbers.wav']['text']}\n"
    browser.find("#undo").click()
    assert [name.get_property("value") for name in names] == ["A", "B"]


def test_above_ten_minutes_there_is_a_plain_timeline(page: Page, browser: Browser, tmp_path: Path) -> None:
    short, long = tmp_path / "short.wav", tmp_path / "long.wav"
    short.write_bytes(silence(599))
    long.write_bytes(silence(601))
    for file, waveform in ((short, True), (long, False)):
        page.transcribe(file)
        page.click(page.items()[file.name], ".open")
        browser.wait(lambda _: browser.find("#player").is_displayed())
        assert browser.find("#waveform").is_displayed() is waveform
        assert browser.find("#position").is_displayed() is not waveform
        assert browser.text_of("#text-none") == "Nothing was said."
    browser.execute_script(
        "const p = document.getElementById('position'); p.value = 300; p.oninput({target: p})"
    )
    browser.wait(lambda _: browser.text_of("#time") == "5:00 / 10:01")


def test_one_button_deletes_all(page: Page, browser: Browser) -> None:
    page.transcribe(FLAGSHIP)
    assert browser.text_of("#kept-text").startswith("Kept in this browser: 1 recording, ")
    browser.find("#delete-all").click()
    browser.switch_to.alert.accept()
    browser.wait(lambda _: browser.execute_async_script(KEPT) == "[]")
    page.reload()
    assert page.items() == {}


def test_the_copy_and_the_program_s_call(
    page: Page, browser: Browser, server: GunicornServer, tmp_path: Path
) -> None:
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"origin": server.url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    name = Path(shutil.copy(FLAGSHIP, tmp_path / """it's "a";b\\c é.wav"""))
    page.transcribe(name)
    browser.find("#copy").click()
    browser.wait(lambda _: browser.text_of("#copy") == "Copied")
    read = "navigator.clipboard.readText().then(arguments[0])"
    assert browser.execute_async_script(read) == f"{page.paragraphs()[0]}\n"
    browser.find("#call").click()
    for selector, command in (("#call-curl", ["sh", "-c"]), ("#call-sdk", [sys.executable, "-c"])):
        called = subprocess.run(
            [*command, browser.text_of(selector)], cwd=name.parent, capture_output=True, check=True
        )
        assert FLAGSHIP_TEXT in called.stdout.decode()


def test_ten_thousand_words_make_few_elements(page: Page, browser: Browser) -> None:
    browser.execute_async_script(MANY)
    page.reload()
    page.click(page.items()["many.wav"], ".open")
    assert len(page.paragraphs()) == 500
    assert browser.find_all("#segments p *") == []
    browser.wait(lambda _: browser.execute_script("return CSS.highlights.get('unsure').size"))
    assert browser.execute_script("return CSS.highlights.get('unsure').size") <= 400
