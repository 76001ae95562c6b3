from prometheus_client.parser import text_string_to_metric_families


def test_the_counts_are_prometheus_text(client):
    client.post("/v1/audio/transcriptions").close()
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert {"whisper_requests", "whisper_batch_fill", "whisper_real_time_factor"} <= set(families)
    [counted] = [entry for entry in families["whisper_requests"].samples if entry.name.endswith("_total")]
    assert counted.labels == {"endpoint": "/v1/audio/transcriptions", "status": "400", "model": ""}
    assert families["whisper_requests_in_progress"].samples[0].value == 1.0  # this one
