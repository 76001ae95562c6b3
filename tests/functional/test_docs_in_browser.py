"""/docs in a real browser: behind nginx, below a path, on a server that wants keys. "Try it" included."""

from collections.abc import Iterator

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.functional.browser import chromium, complaints, patiently, requested
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.nginx_proxy import BELOW_A_PATH, Nginx
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "chromedriver", "nginx")]

KEY = "sk-browser"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("docs")
    with (
        GunicornServer(folder / "server.log", WHISPER_API_KEYS=KEY) as server,
        Nginx(folder, f"127.0.0.1:{server.port}", **BELOW_A_PATH) as nginx,
    ):
        server.wait_until_ready()
        yield f"{nginx.url}/speech"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> webdriver.Chrome:
    """The documentation, anew for each test."""
    browser.get("about:blank")
    requested(browser)
    complaints(browser)
    browser.get(f"{url}/docs")
    patiently(browser).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".opblock"))
    return browser


def find(page: webdriver.Chrome, selector: str) -> WebElement:
    """The first element, once there is one."""
    return patiently(page).until(lambda driver: driver.find_element(By.CSS_SELECTOR, selector))


def opened(page: webdriver.Chrome, tag: str, operation: str) -> str:
    """Unfold an operation. Returns a selector for it."""
    selector = f"#operations-{tag}-{operation}"
    find(page, f"{selector} .opblock-summary-control").click()
    find(page, f"{selector} .execute")
    return selector


def answer(page: webdriver.Chrome, operation: str) -> tuple[str, str]:
    """Execute an unfolded operation: the status, and all that is shown of the answer."""
    find(page, f"{operation} .execute").click()
    row = f"{operation} .live-responses-table .response"
    status = patiently(page).until(lambda driver: text(driver, f"{row} .response-col_status").split())
    return status[0], text(page, row)


def text(page: webdriver.Chrome, selector: str) -> str:
    return page.find_element(By.CSS_SELECTOR, selector).text


def clear(page: webdriver.Chrome, operation: str) -> None:
    page.execute_script("arguments[0].click()", find(page, f"{operation} .btn-clear"))
    answers = (By.CSS_SELECTOR, f"{operation} .live-responses-table")
    patiently(page).until(lambda driver: not driver.find_elements(*answers))


def authorize(page: webdriver.Chrome) -> None:
    find(page, ".btn.authorize").click()
    find(page, "#auth-bearer-value").send_keys(KEY)
    find(page, ".auth-container .btn.authorize").click()
    find(page, ".btn-done").click()


def test_every_operation_is_shown(page: webdriver.Chrome, url: str) -> None:
    document = requests.get(f"{url}/openapi.json", timeout=PATIENCE_SECONDS).json()
    expected = {
        f"operations-{operation['tags'][0].replace(' ', '_')}-{operation['operationId']}"
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    shown = {block.get_attribute("id") for block in page.find_elements(By.CSS_SELECTOR, ".opblock")}
    assert shown == expected
    assert page.find_elements(By.CSS_SELECTOR, ".errors-wrapper") == []


def test_each_operation_unfolds_without_a_complaint(page: webdriver.Chrome) -> None:
    blocks = [block.get_attribute("id") for block in page.find_elements(By.CSS_SELECTOR, ".opblock")]
    for block in blocks:
        toggle = find(page, f"#{block} .opblock-summary-control")
        page.execute_script("arguments[0].click()", toggle)
        assert find(page, f"#{block} .responses-inner").text
        page.execute_script("arguments[0].click()", toggle)
        assert complaints(page) == [], block


def test_trying_an_operation(page: webdriver.Chrome, url: str) -> None:
    operation = opened(page, "Models", "listModels")
    status, shown = answer(page, operation)
    assert status == "401"
    assert "You didn't provide an API key." in shown
    authorize(page)
    clear(page, operation)
    status, shown = answer(page, operation)
    assert status == "200"
    assert '"whisper-1"' in shown
    assert [address for address in requested(page) if "/v1/" in address] == [f"{url}/v1/models"] * 2


def test_trying_a_recording(page: webdriver.Chrome) -> None:
    """The form begins with the example: the file is all that is missing."""
    authorize(page)
    operation = opened(page, "Audio", "createTranscription")
    find(page, f"{operation} input[type=file]").send_keys(str(FLAGSHIP))
    status, shown = answer(page, operation)
    assert (status, FLAGSHIP_TEXT in shown) == ("200", True)
    call = text(page, f"{operation} .curl-command")
    assert "-F 'model=whisper-1'" in call
    assert "language" not in call
    assert complaints(page) == []


def test_trying_speech(page: webdriver.Chrome, url: str) -> None:
    """What has been received is played; it isn't asked for again."""
    authorize(page)
    operation = opened(page, "Audio", "createSpeech")
    assert answer(page, operation)[0] == "200"
    player = find(page, f"{operation} audio")
    patiently(page).until(lambda driver: driver.execute_script("return arguments[0].duration > 1", player))
    assert [address for address in requested(page) if "/v1/" in address] == [f"{url}/v1/audio/speech"]
    assert complaints(page) == []


def test_nothing_is_asked_of_another_host(page: webdriver.Chrome, url: str) -> None:
    opened(page, "Audio", "createSpeech")
    addresses = requested(page)
    assert f"{url}/docs/swagger-ui-bundle.js" in addresses
    assert f"{url}/openapi.json" in addresses
    assert [address for address in addresses if not address.startswith(f"{url}/")] == []


def test_the_policy_holds_and_its_violations_would_be_seen(page: webdriver.Chrome) -> None:
    append = "document.head.append(Object.assign(document.createElement('{}'), {{textContent: '{}'}}))"
    for script, word in (
        ("fetch('http://127.0.0.2:9/').catch(() => {})", "127.0.0.2"),
        (append.format("style", "a {}"), "inline style"),
        (append.format("script", "1"), "inline script"),
        ("document.body.insertAdjacentHTML('beforeend', '<i style=\"color: red\">x</i>')", "inline style"),
    ):
        page.execute_script(script)
        patiently(page).until(lambda driver, word=word: saw_violation(driver, word))


def saw_violation(page: webdriver.Chrome, word: str) -> bool:
    return any("Content Security Policy" in message and word in message for message in complaints(page))
