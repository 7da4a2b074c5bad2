"""Links between documents lead somewhere, files they name are there, and no page has a heading twice."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT, documents, prose, refuse

_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
_FILE: Final = re.compile(r"`((?:src|tests|bench|docs|requirements)/[\w./*-]+|[A-Z]+\.md)`")
OUTSIDE: Final = ("http://", "https://", "mailto:")
REPEATS: Final = ("CHANGELOG.md",)  # Each version has its "Added" and "Changed".


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in _HEADING.findall(prose(text))
    }


def repeated_headings(text: str) -> list[str]:
    """Return the headings that the page has more than once: a link can mean only one of them."""
    return [heading for heading, count in Counter(_HEADING.findall(prose(text))).items() if count > 1]


def dead_links(path: Path, text: str) -> list[str]:
    """Return the links of the document that lead nowhere."""
    found: list[str] = []
    for link in _LINK.findall(prose(text)):
        if link.startswith(OUTSIDE):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name
        is_dead = bool(name) and not target.exists()
        if is_dead or (anchor and anchor not in anchors(target.read_text("utf-8") if name else text)):
            found.append(f"{path.relative_to(ROOT)}: {link}")
    return found


def missing_files(path: Path, text: str) -> list[str]:
    """Return the files named in backticks that are not there; a `*` stands for anything."""
    names: Iterable[str] = _FILE.findall(prose(text))
    made = (ROOT / ".gitignore").read_text("utf-8").split()  # Made by a command, never in the repository.
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for name in names
        if f"/{name}" not in made and not any(ROOT.glob(name.rstrip("/")))
    ]


def test_links_lead_somewhere() -> None:
    refuse(link for path in documents() for link in dead_links(path, path.read_text("utf-8")))


def test_files_that_are_named_are_there() -> None:
    refuse(name for path in documents() for name in missing_files(path, path.read_text("utf-8")))


def test_a_page_has_no_heading_twice() -> None:
    pages = [path for path in documents() if path.name not in REPEATS]
    refuse(
        f"{page.relative_to(ROOT)}: {found}" for page in pages for found in repeated_headings(page.read_text("utf-8"))
    )


def test_a_repeated_heading_is_seen() -> None:
    assert repeated_headings("# A\n## [a]\nx\n## [b]\n## [a]\n```\n## [b]\n```\n") == ["[a]"]


def test_dead_links_are_seen() -> None:
    page = ROOT / "docs/page.md"
    text = "# A heading\n[a](nowhere.md) [b](#a-heading) [c](#gone) [d](https://example.org/) [e](../README.md)\n"
    assert dead_links(page, text + "```\n[f](in-code.md)\n```\n") == ["docs/page.md: nowhere.md", "docs/page.md: #gone"]


def test_missing_files_are_seen() -> None:
    text = "`tests/tidy/test_links.py` `tests/docs/test_links.py` `tests/docs/` `tests/docs/test_*.py`\n"
    assert missing_files(ROOT / "docs/page.md", text) == ["docs/page.md: tests/tidy/test_links.py"]
