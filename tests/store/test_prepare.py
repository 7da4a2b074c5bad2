"""Every SQL text of the store prepares on the migrated database: no table, column, cast or parameter is wrong."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from types import ModuleType

import asyncpg

from outrider import store

STATEMENT = re.compile(r"\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE|MERGE)\s", re.IGNORECASE)


def statements() -> Iterator[tuple[str, str]]:
    """Give each module's constants that are SQL, f-strings as they were put together."""
    for found in pkgutil.walk_packages(store.__path__, "outrider.store."):
        if ".schema" in found.name:
            continue  # Runs inside alembic; test_migrate.py.
        named = dict(texts(importlib.import_module(found.name)))
        whole = {text.strip() for text in named.values()}
        for name, text in named.items():
            # What others begin with is no statement of its own.
            starts = (f"{text.strip()} ", f"{text.strip()}\n")
            if STATEMENT.match(text) and not any(other.startswith(starts) for other in whole):
                yield f"{found.name}.{name}", text


def texts(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Give each constant that is a text, and each text of a constant that is a mapping."""
    for name, value in vars(module).items():
        if not name.isupper():
            continue
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}[{key}]", text) for key, text in value.items() if isinstance(text, str))


async def test_every_statement_prepares(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    wrong = {}
    for name, sql in statements():
        try:
            await connection.prepare(sql)
        except asyncpg.PostgresError as error:
            wrong[name] = str(error)
    await connection.close()
    assert wrong == {}


def test_the_statements_are_found() -> None:
    names = {name for name, _ in statements()}
    assert len(names) > 40
    for name in (
        "lanes._RELEASE",
        "queue._FIRST_DUE",
        "events._AFTER",
        "senders._BY_KEY",
        "migrate._VERSION",
        "pool._PING",
    ):
        assert f"outrider.store.{name}" in names
