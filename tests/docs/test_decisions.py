"""Documents keep their form: an ADR has its headings and fits on a page, ARCHITECTURE.md stays a map."""

import re
from typing import Final

import pytest

from tests.docs.pages import ROOT

HEADINGS: Final = ("Context", "Decision", "Consequences", "Alternatives, and why not", "How it is checked")
STATUS: Final = re.compile(
    r"^Status: (accepted|superseded by \d{4})\. Date: \d{4}-\d\d-\d\d\. Floor: [a-z, ]+\.$", re.MULTILINE
)
PAGE_LINES_MAX: Final = 60
MAP_LINES_MAX: Final = 300


def flaws(name: str, text: str) -> list[str]:
    """Return what is wrong with the form of an ADR."""
    found: list[str] = []
    if not text.startswith(f"# {name[:4]}. "):
        found.append("its title does not begin with its number")
    if not STATUS.search(text):
        found.append("no line with status, date and floor")
    if tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) != HEADINGS:
        found.append(f"its headings are not {HEADINGS}")
    if len(text.splitlines()) > PAGE_LINES_MAX:
        found.append("longer than a page")
    return found


def test_decisions_have_their_form() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert {page.name: found for page in pages if (found := flaws(page.name, page.read_text("utf-8")))} == {}


def test_every_decision_is_in_the_list() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text("utf-8")
    pages = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    wanted = [f"[{page.read_text('utf-8').splitlines()[0].removeprefix('# ')}]({page.name})" for page in pages]
    assert [line for line in wanted if line not in listed] == []


def test_the_map_stays_a_map() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= MAP_LINES_MAX


GOOD: Final = "# 0001. A\n\nStatus: accepted. Date: 2026-11-24. Floor: store.\n\n" + "".join(
    f"## {heading}\n\nx\n\n" for heading in HEADINGS
)


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("", "", 0),
        ("# 0001", "# 0002", 1),
        ("accepted", "maybe", 1),
        ("## How it is checked", "## Trust us", 1),
        ("x\n", "x\n" * 20, 1),
    ],
)
def test_a_bad_form_is_seen(old: str, new: str, count: int) -> None:
    assert len(flaws("0001-a.md", GOOD.replace(old, new))) == count
