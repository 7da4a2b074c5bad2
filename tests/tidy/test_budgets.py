"""A folder that outgrows its line budget by a fifth owes an ADR (DESIGN.md 2). The budgets in force are in the newest.

Lines of Python under src/outrider/FOLDER, docstrings and empty lines too. A folder is given a budget with its floor.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from tests.docs.pages import table
from tests.tidy.sources import ROOT, Finding, Module, product, refuse, snippet

IN_FORCE: Final = ROOT / "docs/decisions/0049-budgets-with-tracking-and-figures.md"
WITHOUT: Final = ("cli", "testing")  # DESIGN.md gives them none.
OUTGROWN_RATIO: Final = 1.2


def budgets() -> Mapping[str, int]:
    rows = table(IN_FORCE.read_text("utf-8"), "folder")
    return {folder: int(budget.replace(",", "")) for folder, budget, *_ in rows}


def outgrown(sources: Iterable[Module], allowed: Mapping[str, int]) -> list[Finding]:
    lines: Counter[str] = Counter()
    for module in sources:
        folder = module.path.removeprefix("src/outrider/").rpartition("/")[0].partition("/")[0]
        lines[folder] += len(module.lines)
    return [
        Finding(f"src/outrider/{folder}", 0, f"has {count} lines, its budget is {allowed.get(folder, 0)}: ADR or less")
        for folder, count in lines.items()
        if folder and folder not in WITHOUT and count > allowed.get(folder, 0) * OUTGROWN_RATIO
    ]


def test_no_folder_outgrows_its_budget() -> None:
    refuse(outgrown(product(), budgets()))


def test_every_budget_has_its_folder() -> None:
    assert {folder for folder in budgets() if not (ROOT / "src/outrider" / folder).is_dir()} == set()


def test_a_folder_that_has_outgrown_its_budget_is_seen() -> None:
    def grown(lines: int, path: str = "src/outrider/net/a/b.py") -> list[Finding]:
        return outgrown([snippet("x = 1\n" * lines, path), snippet("x = 1\n", "src/outrider/net/c.py")], {"net": 10})

    assert grown(11) == []
    assert [finding.path for finding in grown(12)] == ["src/outrider/net"]
    assert grown(1_000, "src/outrider/app.py") == []
    assert [finding.path for finding in grown(1, "src/outrider/new/a.py")] == ["src/outrider/new"]
