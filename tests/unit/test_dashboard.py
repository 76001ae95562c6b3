"""deploy/grafana-dashboard.json, as far as it can be judged without a Grafana."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_whoever_imports_it_chooses_the_data_source() -> None:
    first, second = DASHBOARD["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert second["datasource"] == SOURCE
    assert all(panel["datasource"] == SOURCE for panel in PANELS)
    assert all(target["datasource"] == SOURCE for panel in PANELS for target in panel["targets"])
    assert "id" not in DASHBOARD
    assert DASHBOARD["schemaVersion"] >= 39


def test_panels_have_their_own_place() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_expressions_are_whole() -> None:
    for panel in PANELS:
        assert panel["title"] and panel["description"]
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert target["expr"].count("{") == target["expr"].count("}")
            assert "$instance" in target["expr"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
