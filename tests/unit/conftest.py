"""Fixtures that build on each other: settings -> runtime -> app -> client."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.settings import Settings
from tests.unit.scripted import ScriptedRuntime


@pytest.fixture
def settings() -> Settings:
    return Settings(max_upload_mb=1)


@pytest.fixture
def runtime() -> ScriptedRuntime:
    return ScriptedRuntime()


@pytest.fixture
def app(settings: Settings, runtime: ScriptedRuntime) -> Flask:
    return create_app(settings, runtime)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
