"""The README and the other pages for readers, taken apart."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": README} | {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
}
API = PAGES["docs/api.md"]
CHECKPOINTS = PAGES["docs/checkpoints.md"]
CLIENTS = PAGES["docs/clients.md"]
CONTRIBUTING = PAGES["CONTRIBUTING.md"]
FIELDS = PAGES["docs/fields.md"]
REALTIME = PAGES["docs/realtime.md"]
SETTINGS = PAGES["docs/settings.md"]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str, page: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [text for name, text in _BLOCK.findall(page) if name == language]


def table(first_heading: str, page: str) -> list[list[str]]:
    """The rows, without the two of the head, of the table whose first column has this heading."""
    lines = page.splitlines()
    heads = (number for number, line in enumerate(lines) if line.startswith("| ---"))
    start = next(number - 1 for number in heads if lines[number - 1].startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows
