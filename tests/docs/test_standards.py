"""docs/standards.md lists every RFC that the sources cite, and every module it names is there."""

import re
from collections.abc import Iterable
from typing import Final

from tests.docs.pages import ROOT, refuse, table

_RFC: Final = re.compile(r"\bRFC[ \xa0]?(\d{3,5})\b")


def cited() -> dict[str, str]:
    """Return each RFC that the sources cite with one file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in (".py", ".toml", ".sql"):
            for number in _RFC.findall(path.read_text("utf-8")):
                found.setdefault(number, path.relative_to(ROOT).as_posix())
    return found


def missing_modules(names: Iterable[str]) -> list[str]:
    """Return the names (`wire.reply`, `mail`) that are neither a module nor a package."""
    base = ROOT / "src/outrider"
    paths = {name: base / name.replace(".", "/") for name in names}
    return [name for name, path in paths.items() if not path.with_suffix(".py").exists() and not path.is_dir()]


def rows() -> list[list[str]]:
    found = list(table((ROOT / "docs/standards.md").read_text("utf-8"), "standard"))
    assert found
    return found


def test_every_cited_rfc_is_listed() -> None:
    listed = {number for row in rows() for number in _RFC.findall(row[0])}
    refuse(f"RFC {number}: cited in {path}, not listed" for number, path in cited().items() if number not in listed)


def test_every_module_that_is_named_exists() -> None:
    refuse(missing_modules(name for row in rows() for name in re.findall(r"`([\w.]+)`", row[2])))


def test_every_row_says_how_much() -> None:
    assert [row for row in rows() if not row[3].startswith(("full", "partial: ", "cited: "))] == []


def test_a_missing_module_is_seen() -> None:
    assert missing_modules(["base.limits", "base", "wire.telepathy"]) == ["wire.telepathy"]
