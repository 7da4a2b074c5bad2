"""Every query on a table that belongs to projects says whose rows it means, so that no project sees another's.

The tables are read from the schema: those with a column `project_id`. A statement on one of them has `project_id` in
its text, or says why not in the SQL itself: `-- tidy: project-scope REASON` or `/* tidy: project-scope REASON */`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import pytest

from tests.tidy.sources import Finding, Module, product, refuse, snippet

SCHEMA: Final = "outrider.store.schema.versions."
# Partitions and rows of queues, not what a customer sees: who works them off serves every project's.
ENGINE_TABLES: Final = {"lane", "webhook_call", "webhook_turn"}
_CREATE: Final = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((.*?)\n\)", re.DOTALL)
_ALTER: Final = re.compile(r"ALTER TABLE (\w+) ADD (?:COLUMN )?project_id\b")
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TABLE: Final = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+(?:ONLY\s+)?(\w+)", re.IGNORECASE)
_STATEMENT: Final = re.compile(r"^\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE|MERGE|COPY|TRUNCATE)\b", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"tidy: project-scope \w")


def texts(module: Module) -> Iterator[tuple[int, str]]:
    """Give each string of the module that is not a docstring, with its line; f-strings with constants put in."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inner = {id(part) for node in ast.walk(module.tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    constants = {
        node.target.id: node.value.value
        for node in module.tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(part_text(part, constants) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docstrings | inner):
            yield node.lineno, node.value


def part_text(part: ast.expr, constants: Mapping[str, object]) -> str:
    """Return a fixed part of an f-string as it is, a constant of the module by its text, anything else as `?`."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    name = part.value.id if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) else ""
    return str(constants.get(name, "?"))


def project_tables(schema: Iterable[Module]) -> set[str]:
    """Return the tables whose rows belong to a project."""
    found: set[str] = set()
    for module in schema:
        for _, text in texts(module):
            found |= {name for name, columns in _CREATE.findall(text) if re.search(r"\bproject_id\b", columns)}
            found |= set(_ALTER.findall(text))
    return found - ENGINE_TABLES


def unscoped(module: Module, tables: set[str]) -> list[Finding]:
    found: list[Finding] = []
    for line, text in texts(module):
        bare = _COMMENT.sub(" ", text)
        if not _STATEMENT.match(bare) or re.search(r"\bproject_id\b", bare) or _ESCAPE.search(text):
            continue
        touched = tables.intersection(_TABLE.findall(bare))
        if touched:
            found.append(Finding(module.path, line, f"touches {', '.join(sorted(touched))} without project_id"))
    return found


def test_every_query_says_whose_rows_it_means() -> None:
    tables = project_tables(m for m in product() if m.name.startswith(SCHEMA))
    assert {"message", "recipient", "sender", "domain", "event"} <= tables
    queries = (m for m in product() if not m.name.startswith(SCHEMA))
    refuse(f for m in queries for f in unscoped(m, tables))


def test_tables_are_read_from_the_schema() -> None:
    schema = snippet('''
        A = """
        CREATE TABLE sender (
            project_id  uuid NOT NULL REFERENCES project
        );
        CREATE TABLE lane (
            lane_id  bigint
        ) WITH (fillfactor = 50);
        """
        B = "ALTER TABLE route ADD COLUMN project_id uuid"
    ''')
    assert project_tables([schema]) == {"sender", "route"}


@pytest.mark.parametrize(
    ("sql", "is_bad"),
    [
        ("SELECT address FROM sender WHERE sender_id = $1", True),
        ("DELETE FROM sender USING unnest($1::uuid[]) AS gone(id) WHERE sender_id = id", True),
        ("\n  WITH a AS (SELECT 1) UPDATE sender SET name = $1", True),
        ("SELECT 1 FROM lane JOIN sender USING (pool)", True),
        ("SELECT address FROM sender WHERE sender_id = $1 -- by project_id", True),
        ("SELECT address FROM sender WHERE project_id = $1", False),
        ("SELECT name FROM sender /* tidy: project-scope the doctor counts all of them */", False),
        ("SELECT name FROM lane", False),
        ("A sentence about the sender, FROM sender to reader.", False),
    ],
)
def test_an_unscoped_query_is_seen(sql: str, is_bad: bool) -> None:
    assert bool(unscoped(snippet(f"_Q: Final = {sql!r}"), {"sender"})) == is_bad


def test_an_unscoped_query_is_seen_in_pieces() -> None:
    head = '_HEAD: Final = "SELECT name FROM sender"\n'
    assert len(unscoped(snippet(head + '_BY_ID: Final = f"{_HEAD} WHERE sender_id = $1"'), {"sender"})) == 2
    assert unscoped(snippet('async def f(tx):\n    await tx.fetch(f"SELECT {column} FROM sender")'), {"sender"})
