"""What the tests of this folder share: the generator of docs/generate.py, the documents, their links and tables."""

import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)


@functools.cache
def generator() -> ModuleType:
    """Load docs/generate.py."""
    spec = importlib.util.spec_from_file_location("outrider_docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_fresh(name: str) -> None:
    """Compare a generated page of docs/reference with what the code says now."""
    page = ROOT / "docs/reference" / name
    written = page.read_text("utf-8") if page.exists() else ""
    wanted: str = generator().PAGES[name]()
    if written != wanted:
        old, new = set(written.splitlines()), set(wanted.splitlines())
        lines = [*(f"- {line}" for line in old - new), *(f"+ {line}" for line in new - old)]
        pytest.fail(f"docs/reference/{name} is stale: run `make docs`\n" + "\n".join(lines), pytrace=False)


def refuse(flaws: Iterable[str]) -> None:
    """Fail the test with all the flaws, one a line, and no traceback; pass if there are none."""
    if lines := sorted(flaws):
        pytest.fail("\n" + "\n".join(lines), pytrace=False)


def documents() -> Sequence[Path]:
    """Return every document of the repository."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def prose(text: str) -> str:
    """Return the text without its code blocks."""
    return _FENCE.sub("", text)


def code_blocks(text: str) -> str:
    """Return the lines of the text's code blocks."""
    return "\n".join(match[0] for match in _FENCE.finditer(text))


def table(text: str, first_heading: str) -> Iterator[list[str]]:
    """Give the rows of the table whose first column has that heading, cells stripped."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("|") and line.split("|")[1].strip() == first_heading:
            next(lines)  # The dashes.
            for row in lines:
                if not row.startswith("|"):
                    return
                yield [cell.strip() for cell in row.strip().strip("|").split("|")]
