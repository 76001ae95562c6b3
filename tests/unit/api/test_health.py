from tests.unit.scripted import error_of


def test_health_is_always_ok(client, runtime):
    runtime.ready = False
    response = client.get("/health")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_ready(client):
    response = client.get("/ready")
    assert (response.status_code, response.json) == (200, {"status": "ready"})


def test_not_ready_is_a_503_that_says_when_to_come_back(client, runtime):
    runtime.ready = False
    response = client.get("/ready")
    assert response.status_code == 503
    assert 1 <= int(response.headers["Retry-After"]) <= 120
    error = error_of(response)
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
