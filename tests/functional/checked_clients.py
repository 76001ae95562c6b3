"""Client libraries that hold every answer they see against OpenAI's schemas."""

from typing import Any

import openai
import requests
from openai import AsyncOpenAI, OpenAI

from tests.functional.gunicorn_server import PATIENCE_SECONDS
from tests.openai_spec import check_answer, check_response


def openai_client(url: str, **options: Any) -> OpenAI:
    """OpenAI's SDK, without retries unless asked for."""
    http_client = openai.DefaultHttpxClient(event_hooks={"response": [_check_httpx]})
    return OpenAI(base_url=f"{url}/v1", http_client=http_client, **{**_OPTIONS, **options})


def async_openai_client(url: str, **options: Any) -> AsyncOpenAI:
    """The asynchronous half of OpenAI's SDK."""
    http_client = openai.DefaultAsyncHttpxClient(event_hooks={"response": [_check_async_httpx]})
    return AsyncOpenAI(base_url=f"{url}/v1", http_client=http_client, **{**_OPTIONS, **options})


def requests_session() -> requests.Session:
    """python-requests."""
    session = requests.Session()
    session.hooks["response"].append(check_response)
    return session


_OPTIONS = {"api_key": "dummy", "max_retries": 0, "timeout": PATIENCE_SECONDS}


def _check_httpx(response: Any) -> None:
    if not _streams(response):
        response.read()
        _check(response)


async def _check_async_httpx(response: Any) -> None:
    if not _streams(response):
        await response.aread()
        _check(response)


def _streams(response: Any) -> bool:
    return bool(response.headers.get("content-type", "").startswith("text/event-stream"))


def _check(response: Any) -> None:
    kind = response.headers.get("content-type", "")
    check_answer(response.request.url.path, response.status_code, kind, response.content)
