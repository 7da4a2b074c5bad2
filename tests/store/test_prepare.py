"""Every SQL text of the store prepares on the migrated database: no table, column, cast or parameter is wrong."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import asyncpg

from outrider import store

STATEMENT = re.compile(r"\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE|MERGE)\s", re.IGNORECASE)


def statements() -> Iterator[tuple[str, str]]:
    """Give each module's constants that are SQL, f-strings as they were put together."""
    for found in pkgutil.walk_packages(store.__path__, "outrider.store."):
        if ".schema" in found.name:
            continue  # Runs inside alembic; test_migrate.py.
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, str) and name.isupper() and STATEMENT.match(value):
                yield f"{found.name}.{name}", value


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
