"""Azure's URLs and key header: OpenAI's AzureOpenAI client, and what LangChain and LiteLLM build on it."""

import io
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests
from openai import AzureOpenAI

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, convert_to_pipe
from tests.openai_spec import read_as

KEY = "sk-test-0123456789abcdef"
SPOKEN: Any = [
    {
        "role": "user",
        "content": [
            {
                "type": "input_audio",
                "input_audio": {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"},
            }
        ],
    }
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """A server that asks for a key."""
    log = tmp_path_factory.mktemp("azure") / "server.log"
    with GunicornServer(log, WHISPER_API_KEYS=KEY) as running:
        yield running.wait_until_ready()


def azure(server: GunicornServer, **options: Any) -> AzureOpenAI:
    defaults = {"api_key": KEY, "api_version": "2024-10-21", "max_retries": 0, "timeout": PATIENCE_SECONDS}
    return AzureOpenAI(azure_endpoint=server.url, **(defaults | options))


@pytest.fixture(params=["the model is the deployment", "the client has a deployment"])
def client(request: pytest.FixtureRequest, locked: GunicornServer) -> Iterator[AzureOpenAI]:
    """Both ways to name a deployment, which Azure's customers name as they like."""
    options = {"azure_deployment": "our-dictation"} if "client" in request.param else {}
    with azure(locked, **options) as client:
        yield client


@pytest.mark.parametrize("name", ["our-dictation", "gpt-4o-transcribe", "whisper-1"])
def test_transcriptions(client: AzureOpenAI, name: str) -> None:
    with FLAGSHIP.open("rb") as file:
        answer = client.audio.transcriptions.create(model=name, file=file)
    assert answer.text == FLAGSHIP_TEXT


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_translations(client: AzureOpenAI) -> None:
    with (DATA / "german.wav").open("rb") as file:
        answer = client.audio.translations.create(model="our-dictation", file=file)
    assert answer.text


def test_speech(client: AzureOpenAI) -> None:
    speech = client.audio.speech.create(
        model="our-voice", voice="alloy", input="The sun.", response_format="wav"
    )
    assert speech.content[:4] == b"RIFF"


@pytest.mark.parametrize("stream", [False, True])
def test_chat(client: AzureOpenAI, stream: bool) -> None:
    answer: Any = client.chat.completions.create(model="our-gpt", messages=SPOKEN, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text, model = answer.choices[0].message.content, answer.model
        assert model == "demo"
    assert text == FLAGSHIP_TEXT


def test_models(client: AzureOpenAI) -> None:
    assert client.models.list().data[0].id == "demo"


@pytest.mark.parametrize("version", ["2023-05-15", "2025-04-01-preview", "preview", "nonsense"])
def test_any_api_version(locked: GunicornServer, version: str) -> None:
    with azure(locked, api_version=version) as client, FLAGSHIP.open("rb") as file:
        assert client.audio.transcriptions.create(model="ours", file=file).text == FLAGSHIP_TEXT


def test_a_token_of_entra_is_a_key_like_any_other(locked: GunicornServer) -> None:
    with azure(locked, api_key=None, azure_ad_token=KEY) as client:
        assert client.models.list().data


def test_the_v1_api(locked: GunicornServer) -> None:
    """Azure's newer one: OpenAI's own client with Azure's URL."""
    with openai.OpenAI(base_url=f"{locked.url}/openai/v1/", api_key=KEY, max_retries=0) as client:
        with FLAGSHIP.open("rb") as file:
            assert client.audio.transcriptions.create(model="whisper-1", file=file).text == FLAGSHIP_TEXT
        with FLAGSHIP.open("rb") as file, pytest.raises(openai.NotFoundError, match="`ours` does not exist"):
            client.audio.transcriptions.create(model="ours", file=file)


def test_a_wrong_key(locked: GunicornServer) -> None:
    with azure(locked, api_key="wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_a_file_that_is_none(client: AzureOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="ours", file=("a.wav", b"no audio"))
    assert caught.value.param == "file"


def test_a_url_that_is_none(client: AzureOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
        client.embeddings.create(model="ours", input="text")


def post(server: GunicornServer, path: str, **body: Any) -> requests.Response:
    headers = {"api-key": KEY}
    return requests.post(server.url + path, headers=headers, timeout=PATIENCE_SECONDS, **body)


@pytest.mark.parametrize("model", [{}, {"model": ""}])
def test_the_body_may_name_no_model(locked: GunicornServer, model: dict[str, str]) -> None:
    url = "/openai/deployments/gpt-4o-transcribe/audio/transcriptions?api-version=2024-06-01"
    answer = post(locked, url, data=model, files={"file": FLAGSHIP.read_bytes()})
    assert answer.status_code == 200
    assert read_as("transcription_json", answer.content)["usage"]["type"] == "tokens"


def test_langchains_parser(locked: GunicornServer) -> None:
    """AzureOpenAIWhisperParser: pieces of MP3, with the deployment's name as model and `response_format`."""
    mp3 = convert_to_pipe(DATA / "three_utterances.wav", "-b:a", "128k", "-f", "mp3")
    file = io.BytesIO(mp3)
    file.name = "talk.mp3_part_0.mp3"
    with azure(locked, api_version="2024-06-01") as client:
        answer = client.audio.transcriptions.create(model="whisper", file=file, language="en")
    assert answer.text == EXPECTED["three_utterances.wav"]["text"]


def test_langchains_chat(locked: GunicornServer) -> None:
    """AzureChatOpenAI: the client has the deployment, the body names no model and asks for usage."""
    url = "/openai/deployments/gpt-4o-audio/chat/completions?api-version=2024-10-01-preview"
    body = {"messages": SPOKEN, "model": None, "stream": False, "n": 1}
    answer = post(locked, url, json=body)
    assert answer.status_code == 200
    assert read_as("chat_completion", answer.content)["choices"][0]["message"]["content"] == FLAGSHIP_TEXT


def test_litellm(locked: GunicornServer) -> None:
    """`azure/ours`: the name without its prefix, and `verbose_json` for it."""
    with azure(locked, api_version="2024-02-15-preview") as client, FLAGSHIP.open("rb") as file:
        answer = client.audio.transcriptions.create(model="ours", file=file, response_format="verbose_json")
    assert (answer.text, answer.language) == (FLAGSHIP_TEXT, "english")
