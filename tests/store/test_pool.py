"""Connections and transactions: kept whole or not at all, errors in our words, back to work when the server is."""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from outrider.base.errors import (
    ConflictError,
    NotFoundError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from outrider.store.pool import Store, StoreRolledBackError, StoreValueError
from outrider.store.settings import StoreSettings
from outrider.testing.mailroom import WAIT_S, blocked_pids, wait_blocked
from outrider.testing.postgres import ThrowawayPostgres

KILL_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = $1"""
NEW_PROJECT = """
    INSERT INTO project (project_id, name, created_at) VALUES (gen_random_uuid(), $1, '2026-01-01')"""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """Give a store of two connections; who takes a third waits."""
    async with Store(database_url, StoreSettings(pool_size=2)) as opened:
        yield opened


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[Store]:
    """Give another process's store."""
    async with Store(database_url, StoreSettings(pool_size=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_url(postgres: ThrowawayPostgres) -> Iterator[str]:
    """Give a database for all those that leave nothing in it."""
    dsn = asyncio.run(postgres.clone())
    yield dsn
    asyncio.run(postgres.drop(dsn))


@pytest.fixture
async def quick(shared_url: str) -> AsyncIterator[Store]:
    async with Store(shared_url, StoreSettings(pool_size=1)) as opened:
        yield opened


async def insert(store: Store, name: str) -> None:
    async with store.transaction() as tx:
        await tx.execute(NEW_PROJECT, name)


async def run(store: Store, sql: str, *arguments: object) -> None:
    async with store.transaction() as tx:
        await tx.fetch(sql, *arguments)


async def raise_after_insert(store: Store, error: BaseException) -> None:
    async with store.transaction() as tx:
        await tx.execute(NEW_PROJECT, "gone")
        raise error


async def names(store: Store) -> list[str]:
    async with store.transaction() as tx:
        return [row["name"] for row in await tx.fetch("SELECT name FROM project ORDER BY name")]


async def recovered(store: Store) -> None:
    """Return when the store works again; each connection that died may cost one error, not more."""
    for _ in range(3):
        try:
            await run(store, "SELECT 1")
        except StoreUnavailableError:
            continue
        return
    raise AssertionError("it never came back")


async def test_a_block_that_ends_well_is_kept(store: Store, admin: Store) -> None:
    await insert(store, "kept")
    assert await names(admin) == ["kept"]


@pytest.mark.parametrize("error", [KeyError("ours"), NotFoundError("no"), asyncio.CancelledError()], ids=type)
async def test_a_block_that_raises_is_not_kept_and_raises_the_same(store: Store, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await raise_after_insert(store, error)
    assert caught.value is error
    assert await names(store) == []


async def test_others_see_nothing_before_the_commit(store: Store, admin: Store) -> None:
    async with store.transaction() as tx:
        await tx.execute(NEW_PROJECT, "kept")
        assert await names(admin) == []


async def test_execute_counts_rows_and_fetch_row_tells_none(store: Store) -> None:
    async with store.transaction() as tx:
        assert await tx.execute("INSERT INTO project SELECT gen_random_uuid(), n, now() FROM unnest($1::text[]) n", ["a", "b"]) == 2  # fmt: skip  # noqa: E501
        assert await tx.execute("UPDATE project SET name = name") == 2
        assert await tx.execute("DELETE FROM project WHERE name = $1", "a") == 1
        assert await tx.execute("CREATE TEMPORARY TABLE t ()") == 0
        assert await tx.fetch_row("SELECT 1 WHERE false") is None
        row = await tx.fetch_row("SELECT 1 AS one, 2 AS two")
    assert row is not None
    assert (row["one"], list(row.values())) == (1, [1, 2])


async def test_instants_are_utc_and_aware(store: Store) -> None:
    async with store.transaction() as tx:
        row = await tx.fetch_row("SELECT now() AS at, current_setting('timezone') AS zone")
    assert row is not None
    assert (row["zone"], row["at"].utcoffset().total_seconds()) == ("UTC", 0)


async def test_a_taken_name_is_a_conflict_that_names_the_constraint(store: Store) -> None:
    await insert(store, "taken")
    with pytest.raises(ConflictError) as caught:
        await insert(store, "taken")
    assert caught.value.detail == {"constraint": "project_name_taken"}
    assert "project" not in caught.value.public


@pytest.mark.parametrize(
    ("sql", "argument"),
    [
        (NEW_PROJECT, "nul \x00"),
        (NEW_PROJECT, "half \ud800"),
        (NEW_PROJECT, None),
        (NEW_PROJECT, 7),
        ("SELECT $1::uuid", "no uuid"),
        ("SELECT $1::int", 2**40),
        ("SELECT $1::timestamptz", "yesterday"),
        ("SELECT 1 / $1::int", 0),
        ("SELECT $1::text::jsonb", "{"),
        ("INSERT INTO api_key SELECT $1::text, gen_random_uuid(), '', '', now()", "a"),
    ],
)
async def test_a_value_it_cannot_take_is_the_values_fault(quick: Store, sql: str, argument: object) -> None:
    with pytest.raises(StoreValueError) as caught:
        await run(quick, sql, argument)
    assert isinstance(caught.value.__cause__, asyncpg.PostgresError)
    assert await names(quick) == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40P01", StoreRolledBackError),  # Deadlock.
        ("40001", StoreRolledBackError),
        ("53100", StoreUnavailableError),  # Disk full.
        ("53200", StoreUnavailableError),
        ("53300", StoreUnavailableError),
        ("57014", StoreUnavailableError),  # Statement cancelled.
        ("57P01", StoreUnavailableError),  # Shutting down.
        ("57P03", StoreUnavailableError),  # Starting.
        ("08006", StoreUnavailableError),
        ("25006", StoreUnavailableError),  # Read-only: a standby.
        ("23505", ConflictError),
        ("23503", StoreValueError),
        ("23514", StoreValueError),
        ("22003", StoreValueError),
        ("XX001", StoreCorruptError),
        ("XX002", StoreCorruptError),
        ("42P01", StoreError),
        ("58030", StoreError),
    ],
)
async def test_each_of_its_errors_has_one_of_ours(quick: Store, code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        await run(quick, f"DO $$BEGIN RAISE EXCEPTION 'secret detail' USING ERRCODE = '{code}'; END$$")
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value), "strangers read this"


async def test_a_read_only_server_is_not_available(store: Store) -> None:
    with pytest.raises(StoreUnavailableError):
        await insert_read_only(store)


async def insert_read_only(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.execute("SET TRANSACTION READ ONLY")
        await tx.execute(NEW_PROJECT, "x")


async def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    async with Store(database_url, StoreSettings(pool_size=1, statement_timeout_s=0.05)) as store:
        with pytest.raises(StoreUnavailableError):
            await run(store, "SELECT pg_sleep(60)")
        await recovered(store)


async def test_a_caller_that_is_cancelled_leaves_nothing_behind(store: Store, admin: Store) -> None:
    async with admin.transaction() as tx:
        await tx.execute("LOCK TABLE project")
        for _ in range(3):  # More often than there are connections.
            waiting = asyncio.ensure_future(insert(store, "cancelled"))
            await wait_blocked(store)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert await blocked_pids(store) == set()
    await insert(store, "kept")
    assert await names(store) == ["kept"]


async def test_after_its_backend_is_killed_the_next_transaction_works(store: Store, admin: Store) -> None:
    await insert(store, "before")
    await run(admin, KILL_OTHERS, "outrider")
    await recovered(store)
    assert await names(store) == ["before"]


async def test_a_backend_killed_in_a_transaction_keeps_nothing_of_it(store: Store, admin: Store) -> None:
    with pytest.raises(StoreUnavailableError):
        await die_in_the_middle(store, admin)
    await recovered(store)
    assert await names(store) == []


async def die_in_the_middle(store: Store, admin: Store) -> None:
    async with store.transaction() as tx:
        await tx.execute(NEW_PROJECT, "half")
        await run(admin, KILL_OTHERS, "outrider")
        await tx.execute(NEW_PROJECT, "other half")


async def test_ready_is_what_answers(store: Store, database_url: str) -> None:
    assert await store.is_ready()
    await store.close()
    assert not await store.is_ready()
    assert not await Store(database_url, StoreSettings()).is_ready()


@pytest.mark.parametrize("change", ["host", "database", "user", "garbage"])
async def test_an_address_where_nobody_lets_us_in_is_not_available(
    postgres: ThrowawayPostgres, database_url: str, change: str
) -> None:
    dsn = {
        "host": "postgresql://outrider@127.0.0.1:1/outrider",
        "database": postgres.dsn_of("missing"),
        "user": postgres.dsn_of("postgres", user="nobody_knows"),
        "garbage": "postgresql://outrider@/outrider?host=/nowhere/at/all",
    }[change]
    store = Store(dsn, StoreSettings())
    with pytest.raises(StoreUnavailableError):
        await store.open()
    with pytest.raises(StoreUnavailableError):
        await insert(store, "x")
    await store.close()


async def test_opening_and_closing_twice_is_harmless(store: Store) -> None:
    await store.open()
    await insert(store, "a")
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailableError):
        await insert(store, "b")
    await store.open()
    assert await names(store) == ["a"]


async def test_closing_waits_for_what_runs_and_refuses_what_comes(
    store: Store, admin: Store, database_url: str
) -> None:
    watcher = Store(database_url, StoreSettings(pool_size=1))
    async with asyncio.timeout(WAIT_S), watcher, asyncio.TaskGroup() as group:
        async with admin.transaction() as tx:
            await tx.execute("LOCK TABLE project")
            running = [group.create_task(insert(store, name)) for name in ("a", "b")]
            await wait_blocked(watcher, 2)
            waiting = asyncio.gather(insert(store, "c"), insert(store, "d"), return_exceptions=True)
            await asyncio.sleep(0)
            closing = group.create_task(store.close())
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailableError):
                await insert(store, "too late")
            assert not closing.done()
        await asyncio.gather(*running, closing)
        assert await waiting == [None, None], "who waited for a connection gets one"
    assert await names(admin) == ["a", "b", "c", "d"]


async def test_a_close_that_is_cancelled_waits_for_nobody(store: Store, admin: Store, database_url: str) -> None:
    watcher = Store(database_url, StoreSettings(pool_size=1))
    async with asyncio.timeout(WAIT_S), watcher, admin.transaction() as tx:
        await tx.execute("LOCK TABLE project")
        running = asyncio.ensure_future(insert(store, "a"))
        await wait_blocked(watcher)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(StoreUnavailableError):
            await running
        with pytest.raises(asyncio.CancelledError):
            await closing
    assert await names(admin) == []


async def test_what_is_notified_is_heard(store: Store, admin: Store) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.timeout(WAIT_S), store.listening("bell", heard.put_nowait) as is_alive:
        await run(admin, "SELECT pg_notify('other', 'not for us'), pg_notify('bell', 'ding')")
        assert await heard.get() == "ding"
        assert is_alive()
    await run(admin, "SELECT pg_notify('bell', 'nobody listens')")
    assert heard.empty()


async def test_a_listener_that_has_died_says_so(store: Store, admin: Store) -> None:
    async with asyncio.timeout(WAIT_S), store.listening("bell", lambda _: None) as is_alive:
        assert is_alive()
        await run(admin, KILL_OTHERS, "outrider-listen")
        while is_alive():
            await run(admin, "SELECT 1")


async def test_listening_where_nobody_answers_is_not_available() -> None:
    store = Store("postgresql://outrider@127.0.0.1:1/outrider", StoreSettings())
    with pytest.raises(StoreUnavailableError):
        async with store.listening("bell", lambda _: None):
            raise AssertionError("nobody is there")


async def test_what_the_listener_raises_is_not_taken_for_the_databases_error(store: Store) -> None:
    with pytest.raises(OSError, match="disk"):
        async with store.listening("bell", lambda _: None):
            raise OSError(errno.ENOSPC, "our own disk is full")
