import pytest


@pytest.mark.parametrize("sent", ["a", "req_0123", "A.b-c_9", "x" * 128])
def test_a_well_formed_request_id_is_echoed(client, sent):
    assert client.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "two words", "a/b", "é", '"quoted"', "a,b"])
def test_any_other_request_id_is_replaced(client, sent):
    answered = client.get("/health", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert answered.startswith("req_")
    assert len(answered) == len("req_") + 32


def test_generated_ids_differ(client):
    ids = {client.get("/health").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/health", 200), ("GET", "/nowhere", 404), ("PUT", "/health", 405), ("POST", "/v1/x", 404)],
)
def test_every_answer_carries_openais_headers(client, method, path, status):
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.headers["openai-version"] == "2020-10-01"
    assert int(response.headers["openai-processing-ms"]) >= 0
    assert response.headers["x-request-id"]
