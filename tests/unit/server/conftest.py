"""One certificate for all tests of connections over TLS."""

import pytest

from tests.unit.server.connections import make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))
