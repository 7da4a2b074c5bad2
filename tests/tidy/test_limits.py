"""A number carries its unit in its name and its source in a comment (STYLE.md, rule 9), and it bounds something."""

import ast
import re
from collections.abc import Iterable
from typing import Final

import pytest

from tests.tidy.sources import Finding, Module, complaint, dotted, product, refuse, snippet

LIMITS: Final = "outrider.base.limits"
UNITS: Final = ("S", "BYTES", "BITS", "CHARS", "LINES", "ROWS", "COUNT", "RATIO", "PER_S")
QUALIFIERS: Final = ("MAX", "MIN", "KEPT")
_SOURCE: Final = re.compile(
    r"RFC \d+ §|\bdraft-\w+|\bOurs[:;] \S|DESIGN\.md \d|uspeedo\.md \d|providers\.md \d|docs/\S+|Measured"
)


def bad_limits(module: Module) -> list[Finding]:
    comments = dict(module.comments())
    found: list[Finding] = []
    seen: set[str] = set()
    for node in module.tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                is_final = ast.unparse(node.annotation).startswith("Final")
            case ast.Assign(targets=[ast.Name(id=name)]):
                is_final = False
            case _:
                continue
        if name in seen:
            found.append(Finding(module.path, node.lineno, f"{name}: is there twice"))
        seen.add(name)
        if not is_final or not name.isupper():
            found.append(Finding(module.path, node.lineno, f"{name}: a limit is an upper-case Final"))
        if not unit_of(name):
            found.append(Finding(module.path, node.lineno, f"{name}: say the unit at the end, one of {UNITS}"))
        if not _SOURCE.search(comments.get(node.end_lineno or node.lineno, "")):
            found.append(Finding(module.path, node.lineno, f"{name}: where is the number from? RFC n §n, or Ours: why"))
    return found


def unit_of(name: str) -> str:
    """Return the unit at the end of the name, behind MAX and its like; "" if there is none."""
    words = name.split("_")
    while words and words[-1] in QUALIFIERS:
        words.pop()
    return next((unit for unit in UNITS if "_".join(words).endswith(f"_{unit}")), "")


def idle_limits(limits: Module, sources: Iterable[Module]) -> list[Finding]:
    """Find limits that no shipped module goes by: docs/reference/limits.md would promise what nothing keeps."""
    used: set[str] = set()
    for module in sources:
        if module.floor != "testing":
            names = [name for name, origin in module.imports.items() if origin == LIMITS]
            used |= {
                node.attr
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Attribute) and dotted(node.value) in names
            }
    return [
        Finding(limits.path, node.lineno, f"{node.target.id}: binds nothing; use it or take it out")
        for node in limits.tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id not in used
    ]


def test_every_limit_has_unit_and_source() -> None:
    (limits,) = (m for m in product() if m.name == LIMITS)
    refuse(bad_limits(limits))
    assert len(limits.tree.body) > 10


def test_every_limit_binds_something() -> None:
    (limits,) = (m for m in product() if m.name == LIMITS)
    refuse(idle_limits(limits, product()))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("LINE_BYTES_MAX: Final = 998  # RFC 5322 §2.1.1.", ""),
        ("LINES_WAIT_S: Final = 5.0  # Ours: longer is an attack.", ""),
        ("LINE_MAX: Final = 998  # RFC 5322 §2.1.1.", "say the unit"),
        ("LINE_BYTES_MAX: Final = 998  # Max line.", "where is the number from"),
        ("LINE_BYTES_MAX: Final = 998", "where is the number from"),
        ("LINE_BYTES_MAX = 998  # RFC 5322 §2.1.1.", "upper-case Final"),
        ("A_S: Final = 1.0  # Ours: x.\nA_S: Final = 1.0  # Ours: x.", "is there twice"),
    ],
)
def test_a_bare_limit_is_seen(line: str, words: str) -> None:
    found = complaint(bad_limits(snippet(line)))
    assert words in found
    assert bool(found) == bool(words)


def test_a_limit_that_binds_nothing_is_seen() -> None:
    limits = snippet("WAIT_S: Final = 1.0  # Ours: x.\nIDLE_S: Final = 1.0  # Ours: x.\n")
    user = snippet("from outrider.base import limits\nfrom other import bounds\nx = limits.WAIT_S + bounds.IDLE_S\n")
    double = snippet("from outrider.base import limits\nx = limits.IDLE_S\n", "src/outrider/testing/sample.py")
    (found,) = idle_limits(limits, [user, double])
    assert found.text.startswith("IDLE_S")
