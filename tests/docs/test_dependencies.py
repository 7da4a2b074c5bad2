"""docs/dependencies.md has a row for each dependency of pyproject.toml, with licence, reason and alternative."""

import re
import tomllib

from tests.docs.pages import ROOT, table


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]}


def test_every_dependency_has_its_row_and_no_other() -> None:
    rows = list(table((ROOT / "docs/dependencies.md").read_text("utf-8"), "library"))
    assert {row[0].strip("`") for row in rows} == declared()
    assert [row[0] for row in rows if len(row) != 4 or not all(row)] == []


def test_every_dependency_is_pinned() -> None:
    pins = (ROOT / "requirements/run.txt").read_text("utf-8")
    assert [name for name in declared() if not re.search(rf"^{re.escape(name)}==", pins, re.MULTILINE)] == []
