"""The sources as the rules see them: files, syntax trees, comments, escapes. Shared by the tests of this folder.

A rule is a function from a `Module` to its `Finding`s. Each test file holds one rule, runs it on the real tree and
proves on a snippet that it can fail. An escape, `# tidy: RULE REASON` on the line or on the one above, silences one
finding; `test_escapes.py` counts them.
"""

import ast
import functools
import io
import re
import textwrap
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
RULES: Final = (
    "async-floor",
    "docstrings",
    "module-state",
    "no-sleep",
    "project-scope",
    "tx-awaits",
    "tx-open",
    "words",
)
_ESCAPE: Final = re.compile(r"tidy: (?P<rule>[\w-]+) ?(?P<reason>[^*\n]*)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One break of one rule."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class Escape(NamedTuple):
    """One exception somebody asked for."""

    path: str
    line: int
    rule: str
    reason: str


class Module:
    """One source file. `path` is relative to the repository, with slashes."""

    def __init__(self, path: str, text: str) -> None:
        self.path: Final = path
        self.text: Final = text

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        try:
            return ast.parse(self.text, self.path)
        except SyntaxError as error:
            pytest.fail(f"{self.path}:{error.lineno}: does not parse: {error.msg}", pytrace=False)

    @functools.cached_property
    def lines(self) -> list[str]:
        """Its lines, the first at 0."""
        return self.text.splitlines()

    @property
    def name(self) -> str:
        """Its dotted name: outrider.wire.reply."""
        return ".".join(Path(self.path).with_suffix("").parts[1:]).removesuffix(".__init__")

    @property
    def stem(self) -> str:
        """Its last name: reply."""
        return Path(self.path).stem

    @property
    def floor(self) -> str:
        """Its top folder or file under outrider: wire; "" for the package itself."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    def comments(self) -> Iterator[tuple[int, str]]:
        """Give each comment with its line."""
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Give each function and method with its dotted name inside the module."""
        yield from _functions(self.tree, "")

    @functools.cached_property
    def imports(self) -> dict[str, str]:
        """What each imported name stands for: {"queue": "outrider.store.queue"}."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        return found

    @functools.cached_property
    def escapes(self) -> list[Escape]:
        """The exceptions it asks for, in comments and in SQL."""
        return [
            Escape(self.path, number, found["rule"], found["reason"].strip())
            for number, line in enumerate(self.lines, 1)
            for found in _ESCAPE.finditer(line)
        ]

    def is_escaped(self, rule: str, line: int) -> bool:
        """Tell whether the line, or the one above it, asks for an exception from the rule."""
        return any(e.rule == rule and e.line in (line, line - 1) for e in self.escapes)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        if isinstance(child, Function | ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


@functools.cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Read every Python file under these folders of the repository."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths)


def product() -> tuple[Module, ...]:
    """Read what is shipped."""
    found = modules("src/outrider")
    assert found, "no sources: is the test run from a whole clone?"
    return found


def snippet(text: str, path: str = "src/outrider/engine/sample.py") -> Module:
    """Make a module of a few lines, to prove that a rule can fail."""
    return Module(path, textwrap.dedent(text))


def complaint(findings: Iterable[Finding]) -> str:
    """Put findings one a line; "" when there are none."""
    return "\n".join(map(str, sorted(findings)))


def refuse(findings: Iterable[Finding]) -> None:
    """Fail the test with all the findings, one a line, and no traceback; pass if there are none."""
    if text := complaint(findings):
        pytest.fail(f"\n{text}", pytrace=False)


def root_name(node: ast.expr) -> str:
    """Return the leftmost name of a dotted expression: `tx` of `tx.fetch`, "" if it does not start with a name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of that expression, "" if it is anything else than names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""
