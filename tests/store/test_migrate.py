"""Tables: made once, whoever starts first, and never written by a program older than they are."""

import asyncio
import importlib.resources
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from outrider.base.errors import ConfigError, StoreUnavailableError
from outrider.store import migrate
from outrider.store.schema import versions
from outrider.testing.mailroom import WAIT_S
from outrider.testing.postgres import ThrowawayPostgres

TABLES = {
    *("project", "api_key", "domain", "dkim_key", "sender", "content", "message", "idempotency", "recipient"),
    *("lane", "queue", "event", "feed_cursor", "alembic_version"),
    *("hold", "node", "gate", "egress_day", "warmup"),
    *("suppression", "suppression_past", "evidence", "inbound", "sending_hour", "guard"),
    *("domain_record", "notice"),
    *("key_use", "nonce", "quota_use", "attachment"),
    *("template", "template_version", "partial"),
    *("webhook", "webhook_secret", "webhook_turn", "webhook_call", "webhook_delivery"),
    *("report_wish", "status_report"),
    *("engagement", "topic", "figure_minute", "figure_hour", "figure_day", "alert", "message_past", "recipient_past"),
    *("inbox_minute", "inbox_hour", "inbox_day"),
}


@pytest.fixture
async def empty_url(postgres: ThrowawayPostgres) -> AsyncIterator[str]:
    """Give the address of a database without tables."""
    connection = await asyncpg.connect(postgres.dsn_of("postgres", user="postgres"))
    await connection.execute("CREATE DATABASE bare OWNER outrider TEMPLATE template0")
    await connection.close()
    yield postgres.dsn_of("bare")
    await postgres.drop(postgres.dsn_of("bare"))


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return {row["tablename"] for row in rows}


async def set_version(dsn: str, version: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE alembic_version SET version_num = $1", version)
    await connection.close()


def test_head_is_the_newest_file() -> None:
    files = sorted(path.name for path in importlib.resources.files(versions).iterdir() if path.name.startswith("v"))
    assert files
    assert files[-1][1:5] == migrate.HEAD


def test_each_step_follows_the_one_before() -> None:
    names = sorted(path.name for path in importlib.resources.files(versions).iterdir() if path.name.startswith("v"))
    down = None
    for name in names:
        step = importlib.import_module(f"outrider.store.schema.versions.{name.removesuffix('.py')}")
        assert (step.revision, step.down_revision) == (name[1:5], down)
        down = step.revision


async def test_an_empty_database_gets_every_table(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    assert await tables(empty_url) == TABLES


async def test_five_that_start_at_once_make_them_once(empty_url: str) -> None:
    async with asyncio.timeout(WAIT_S * 3):
        await asyncio.gather(*(migrate.upgrade(empty_url) for _ in range(5)))
    assert await tables(empty_url) == TABLES


async def test_an_up_to_date_database_is_left_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("alembic", "sqlalchemy")]:
        monkeypatch.delitem(sys.modules, name)
    for _ in range(2):
        await migrate.upgrade(database_url)
    assert "alembic" not in sys.modules, "60 MB in every process for nothing"


async def test_a_database_of_a_newer_program_is_refused_and_unharmed(database_url: str) -> None:
    await set_version(database_url, "9999")
    with pytest.raises(ConfigError, match="9999"):
        await migrate.upgrade(database_url)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
    assert await connection.fetchval("SELECT pg_try_advisory_lock($1)", migrate._LOCK_KEY), "the lock was kept"
    await connection.close()


async def test_nobody_there_is_not_available() -> None:
    with pytest.raises(StoreUnavailableError):
        await migrate.upgrade("postgresql://outrider@127.0.0.1:1/outrider")


async def test_a_database_that_is_missing_is_not_available(postgres: ThrowawayPostgres) -> None:
    with pytest.raises(StoreUnavailableError):
        await migrate.upgrade(postgres.dsn_of("missing"))
