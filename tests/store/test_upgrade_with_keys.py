"""A database of before with domains, keys and senders: after the upgrade they sign, send and stand as they did."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from outrider.base.vocab import KeyState, MtaSts, RecordState, Stream
from outrider.engine.upkeep import ensure_partitions
from outrider.mail import dkim
from outrider.services.dkim_keys import KeyRing
from outrider.services.identity import Identity
from outrider.services.senders import Senders
from outrider.services.settings import IdentitySettings
from outrider.store import dkim_keys, domain_records, migrate
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.postgres import ThrowawayPostgres
from tests.unit.mail.keys import ed25519_key, pem_of, rsa_key

AT = datetime(2025, 12, 1, 12, tzinfo=UTC)
PROJECT, PROVEN, CLAIMED = UUID(int=1), UUID(int=2), UUID(int=3)
VAULT = Vault(bytes(range(32)))
KEYS = {dkim.RSA_SHA256: ("o202511r", rsa_key()), dkim.ED25519_SHA256: ("o202511e", ed25519_key())}


@pytest.fixture
async def old_url(postgres: ThrowawayPostgres) -> AsyncIterator[str]:
    """Give the address of a database without tables."""
    connection = await asyncpg.connect(postgres.dsn_of("postgres", user="postgres"))
    await connection.execute("CREATE DATABASE old OWNER outrider TEMPLATE template0")
    await connection.close()
    yield postgres.dsn_of("old")
    await postgres.drop(postgres.dsn_of("old"))


async def fill(dsn: str) -> None:
    """Write what a program of version 0003 wrote: a domain verified by hand, one that is not, keys, a sender."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO project (project_id, name, created_at) VALUES ($1, 'shop', $2)", PROJECT, AT)
    number = 10
    for domain_id, name, verified_at in ((PROVEN, "shop.example", AT), (CLAIMED, "new.example", None)):
        await connection.execute(
            "INSERT INTO domain (domain_id, project_id, name, created_at, verified_at) VALUES ($1, $2, $3, $4, $5)",
            domain_id,
            PROJECT,
            name,
            AT,
            verified_at,
        )
        for algorithm, (selector, private_key) in KEYS.items():
            number += 1
            pem = pem_of(private_key.private_key)
            await connection.execute(
                """INSERT INTO dkim_key (dkim_key_id, project_id, domain_id, selector, algorithm, private_key_sealed,
                                         public_record, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
                UUID(int=number),
                PROJECT,
                domain_id,
                selector,
                algorithm,
                VAULT.seal(pem, dkim_keys.context_of(domain_id, selector)),
                dkim.public_record(dkim.load_key(name, selector, pem)),
                AT,
            )
    await connection.execute(
        """INSERT INTO sender (sender_id, project_id, domain_id, address, address_key, name, is_default, is_enabled,
                               created_at, updated_at)
           VALUES ($1, $2, $3, $4, $4, 'Shop', true, true, $5, $5)""",
        UUID(int=4),
        PROJECT,
        PROVEN,
        "news@shop.example",
        AT,
    )
    await connection.close()


async def test_domains_and_keys_of_before_go_on_as_they_were(old_url: str) -> None:
    await migrate._run_alembic(old_url, "0003")
    await fill(old_url)
    await migrate.upgrade(old_url)
    clock, bits = FakeClock(), random.SystemRandom().getrandbits
    async with Store(old_url, StoreSettings(pool_size=3)) as store:
        await ensure_partitions(store, clock)
        ring = KeyRing(store, VAULT, IdentitySettings(), clock=clock, random_bits=bits)
        identity = Identity(store, ring, clock=clock, random_bits=bits)
        signing = await ring.of_domain(PROJECT, "shop.example")
        assert [key.selector for key in signing] == ["o202511r", "o202511e"], "unsealed, RSA first"
        for key in signing:
            assert await ring.published_record("shop.example", key.selector) == dkim.public_record(key)
        assert await ring.of_domain(PROJECT, "new.example") == [], "nobody has seen them"
        states = {one.state for one in await ring.entries(PROJECT, "new.example")}
        assert states == {KeyState.WAITING}
        proven, claimed = await identity.domain(PROJECT, "shop.example"), await identity.domain(PROJECT, "new.example")
        assert (proven.state, proven.checked_at, proven.passed_at) == (RecordState.PASSED, None, None)
        assert (claimed.state, claimed.verified_at) == (RecordState.UNVERIFIED, None)
        assert {(one.mta_sts, one.bimi_logo, one.return_path) for one in (proven, claimed)} == {(MtaSts.OFF, "", "")}
        await identity.check(PROJECT, "shop.example", Stream.MARKETING)
        (listed,) = await Senders(store, clock=clock, random_bits=bits, shared_bounce_domain="").list(PROJECT)
        assert (listed.sender.address, listed.sender.may_send) == ("news@shop.example", True)
        (new, _) = await ring.rotate(PROJECT, "shop.example")
        await ring.saw(PROJECT, "shop.example", new.selector, True, record=new.record)
        clock.advance(1)
        assert new.selector in [key.selector for key in await ring.of_domain(PROJECT, "shop.example")]


async def test_what_had_passed_is_known_after_the_upgrade_and_a_return_path_that_never_was_is_not_lost(
    old_url: str,
) -> None:
    await migrate._run_alembic(old_url, "0003")
    await fill(old_url)
    await migrate._run_alembic(old_url, "0006")
    since, now = AT + timedelta(days=1), AT + timedelta(days=2)
    connection = await asyncpg.connect(old_url)
    await connection.execute(
        "UPDATE domain SET state = 'failed', checked_at = $2, failing_since = $3 WHERE domain_id = $1",
        PROVEN,
        now,
        since,
    )
    for kind, state in (("dkim", "passed"), ("dmarc", "failed"), ("return_path", "failed"), ("spf", "unverified")):
        await connection.execute(
            """INSERT INTO domain_record (domain_id, project_id, kind, host, state, checked_at)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            PROVEN,
            PROJECT,
            kind,
            f"{kind}.example",
            state,
            now,
        )
    await connection.close()
    await migrate.upgrade(old_url)
    async with Store(old_url, StoreSettings(pool_size=1)) as store, store.transaction() as tx:
        known = {one.kind.value: one.passed_at for one in await domain_records.of_domain(tx, PROJECT, PROVEN)}
        passed_at = await tx.fetch("SELECT name, passed_at FROM domain ORDER BY name")
    assert known == {"dkim": now, "dmarc": since, "return_path": None, "spf": None}
    assert {row["name"]: row["passed_at"] for row in passed_at} == {"new.example": None, "shop.example": since}
