"""What the tests' own options name is there."""

from pathlib import Path

from tests.conftest import MORE_THAN_PYTHON

ROOT = Path(__file__).resolve().parents[2]


def test_quick_leaves_out_what_exists() -> None:
    assert [path for path in MORE_THAN_PYTHON if not (ROOT / path).exists()] == []
