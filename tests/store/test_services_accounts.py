"""Accounts: secrets shown once, kept as a hash and sealed; terms in one spelling; nobody touches another's keys."""

import asyncio
import hashlib
import random
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError, StoreCorruptError
from outrider.base.vocab import KeyScope
from outrider.services.accounts import Accounts, KeyPair, KeyTerms, Maker
from outrider.store import keys
from outrider.store.pool import Store
from outrider.store.vault import Vault, secret_context
from outrider.testing.clock import EPOCH, FakeClock
from outrider.testing.mailroom import wait_blocked
from tests.store.racing import held_up

pytestmark = pytest.mark.newest


VAULT = Vault(b"k" * 32)


@pytest.fixture
def accounts(store: Store, clock: FakeClock) -> Accounts:
    return Accounts(store, VAULT, clock=clock, random_bits=random.SystemRandom().getrandbits)


@pytest.fixture
def elsewhere(store: Store, clock: FakeClock) -> Accounts:
    """Give the accounts of another process."""
    return Accounts(store, VAULT, clock=clock, random_bits=random.SystemRandom().getrandbits)


@pytest.fixture
async def pair(accounts: Accounts) -> KeyPair:
    return await accounts.create_key((await accounts.ensure_project()).project_id, "first")


async def test_a_project_is_made_once(accounts: Accounts, elsewhere: Accounts) -> None:
    made = await asyncio.gather(*(one.ensure_project("shop") for one in (accounts, elsewhere) * 3))
    assert len({project.project_id for project in made}) == 1
    assert await accounts.project("shop") == made[0]
    with pytest.raises(NotFoundError) as caught:
        await accounts.project("other")
    assert caught.value.field == "project"


async def test_a_name_nobody_could_read_is_refused(accounts: Accounts) -> None:
    project_id = (await accounts.ensure_project()).project_id
    for name in ("", "x" * 101, "line\nbreak", "nul\x00", "half\ud800", "\u202egnp"):
        for asked in (accounts.ensure_project(name), accounts.create_key(project_id, name)):
            with pytest.raises(CallerError) as caught:
                await asked
            assert caught.value.field == "name"
    assert await accounts.list_keys(project_id) == []


async def test_a_pair_looks_as_promised(pair: KeyPair) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", pair.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{48}", pair.access_key_secret)
    assert pair.access_key_secret not in repr(pair)


async def test_a_secret_begins_with_zeros_as_often_as_not(store: Store, clock: FakeClock) -> None:
    zeros = Accounts(store, VAULT, clock=clock, random_bits=lambda _: 0)
    made = await zeros.create_key((await zeros.ensure_project()).project_id, "zeros")
    assert (made.access_key_id, made.access_key_secret) == ("0" * 32, "A" * 48)


async def test_only_a_hash_of_the_secret_is_stored(store: Store, pair: KeyPair) -> None:
    async with store.transaction() as tx:
        (row,) = await tx.fetch("SELECT k::text AS text, k.* FROM api_key k")
    assert pair.access_key_id in row["text"]
    secret = pair.access_key_secret
    for kept in (secret, secret.encode().hex(), secret[:24], secret[24:]):
        assert kept not in row["text"]
    assert row["secret_hash"] == hashlib.sha256(secret.encode()).digest()
    assert VAULT.open(row["secret_sealed"], secret_context(pair.access_key_id)) == secret.encode()
    with pytest.raises(StoreCorruptError):
        VAULT.open(row["secret_sealed"], secret_context("0" * 32))


async def test_revoking_is_safe_twice_and_only_for_ones_own(
    accounts: Accounts, clock: FakeClock, pair: KeyPair
) -> None:
    project_id = (await accounts.project()).project_id
    other_id = (await accounts.ensure_project("other")).project_id
    for whose, key_id in ((other_id, pair.access_key_id), (project_id, "0" * 32), (project_id, "\x00")):
        with pytest.raises(NotFoundError):
            await accounts.key(whose, key_id)
        with pytest.raises(NotFoundError):
            await accounts.change_key(whose, key_id, {"name": "x"})
        if key_id.isalnum():
            with pytest.raises(NotFoundError):
                await accounts.revoke_key(whose, key_id)
    assert (await accounts.key(project_id, pair.access_key_id)).revoked_at is None
    for _ in range(2):
        await accounts.revoke_key(project_id, pair.access_key_id)
        clock.advance(60)
    (key,) = await accounts.list_keys(project_id)
    assert key.revoked_at is not None
    assert (clock.now() - key.revoked_at).total_seconds() == 120


async def test_keys_are_listed_for_their_project_oldest_first(
    accounts: Accounts, clock: FakeClock, pair: KeyPair
) -> None:
    clock.advance(1)
    project_id = (await accounts.project()).project_id
    second = await accounts.create_key(project_id, "second")
    await accounts.create_key((await accounts.ensure_project("other")).project_id, "third")
    listed = await accounts.list_keys(project_id)
    assert [key.access_key_id for key in listed] == [pair.access_key_id, second.access_key_id]


async def test_terms_are_kept_in_one_spelling_and_stay_until_they_are_changed(
    accounts: Accounts, clock: FakeClock, pair: KeyPair
) -> None:
    project_id = (await accounts.project()).project_id
    terms = KeyTerms(
        scopes=frozenset({KeyScope.SEND}),
        ip_ranges=("192.0.2.9/24", "192.0.2.0/24", "2001:DB8::1"),
        domains=("Bücher.example", "xn--bcher-kva.example"),
        expires_at=clock.now() + timedelta(days=1),
        rate_per_minute=600,
    )
    made = await accounts.create_key(project_id, "narrow", terms)
    key = await accounts.key(project_id, made.access_key_id)
    assert key.terms == msgspec.structs.replace(
        terms, ip_ranges=("192.0.2.0/24", "2001:db8::1/128"), domains=("xn--bcher-kva.example",)
    )
    changed = await accounts.change_key(project_id, made.access_key_id, {"name": "wide", "ip_ranges": ()})
    assert (changed.name, changed.terms) == ("wide", msgspec.structs.replace(key.terms, ip_ranges=()))
    assert await accounts.key(project_id, made.access_key_id) == changed
    assert (await accounts.key(project_id, pair.access_key_id)).name == "first"


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"scopes": frozenset()}, "scopes"),
        ({"ip_ranges": ("10.0.0.0/8", "10.0.0.0/33")}, "ip_ranges[1]"),
        ({"ip_ranges": ("",)}, "ip_ranges[0]"),
        ({"ip_ranges": ("\x00",)}, "ip_ranges[0]"),
        ({"ip_ranges": ("fe80::1%eth0/64",)}, "ip_ranges[0]"),
        ({"ip_ranges": ("10.0.0.1",) * 101}, "ip_ranges"),
        ({"domains": ("shop.example", "no dots\r\n")}, "domains[1]"),
        ({"domains": ("a@shop.example",)}, "domains[0]"),
        ({"domains": ("shop.example",) * 101}, "domains"),
        ({"rate_per_minute": -1}, "rate_per_minute"),
        ({"rate_per_minute": 10_000_001}, "rate_per_minute"),
        ({"expires_at": EPOCH}, "expires_at"),
        ({"expires_at": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))}, "expires_at"),
        ({"expires_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "expires_at"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at"),  # noqa: DTZ001 - it is what is refused.
    ],
)
async def test_terms_that_make_no_sense_are_refused_by_name(
    accounts: Accounts, pair: KeyPair, terms: dict[str, Any], field: str
) -> None:
    project_id = (await accounts.project()).project_id
    for asked in (
        accounts.create_key(project_id, "bad", KeyTerms(**terms)),
        accounts.change_key(project_id, pair.access_key_id, {"name": "bad", **terms}),
    ):
        with pytest.raises(CallerError) as caught:
            await asked
        assert caught.value.field == field
    assert [key.name for key in await accounts.list_keys(project_id)] == ["first"]


async def test_of_changes_at_once_none_takes_another_back(
    accounts: Accounts, elsewhere: Accounts, store: Store, pair: KeyPair
) -> None:
    project_id, key_id = (await accounts.project()).project_id, pair.access_key_id
    only_read = frozenset({KeyScope.READ})
    narrowing = accounts.change_key(project_id, key_id, {"scopes": only_read})
    renaming = elsewhere.change_key(project_id, key_id, {"name": "n"})
    await held_up(store, "api_key", [narrowing, renaming])
    key = await accounts.key(project_id, key_id)
    assert (key.name, key.terms) == ("n", KeyTerms(scopes=only_read))


async def test_whoever_changes_a_key_is_measured_by_what_it_may_do_by_then(
    accounts: Accounts, store: Store, pair: KeyPair
) -> None:
    project_id, key_id = (await accounts.project()).project_id, pair.access_key_id
    terms = KeyTerms(domains=("shop.example",))
    await accounts.change_key(project_id, key_id, {"domains": terms.domains})
    async with store.transaction() as tx:
        await keys.lock(tx, project_id, key_id)
        await keys.change(tx, project_id, key_id, name="wide", terms=KeyTerms())
        renaming = asyncio.ensure_future(accounts.change_key(project_id, key_id, {"name": "n"}, maker=Maker(terms, 0)))
        await wait_blocked(store)
    with pytest.raises(ForbiddenError) as caught:
        await renaming
    assert caught.value.field == "domains"


FILL = """
    INSERT INTO api_key (access_key_id, project_id, secret_hash, name, created_at)
    SELECT lpad(to_hex(number), 32, '0'), $1, decode(repeat('00', 32), 'hex'), 'filled', $2
      FROM generate_series(1, $3::int) AS number"""


async def test_a_project_has_so_many_keys_and_hears_how_to_have_another(
    accounts: Accounts, elsewhere: Accounts, store: Store, clock: FakeClock, pair: KeyPair
) -> None:
    project_id = (await accounts.project()).project_id
    async with store.transaction() as tx:
        await tx.execute(FILL, project_id, clock.now(), limits.KEYS_COUNT_MAX - 2)
    asked = [one.create_key(project_id, "last") for one in (accounts, elsewhere) * 4]
    made = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["ConflictError"] * 7 + ["KeyPair"]
    with pytest.raises(ConflictError, match="revoke those"):
        await accounts.create_key(project_id, "more")
    await accounts.create_key((await accounts.ensure_project("other")).project_id, "of another project")
    await accounts.revoke_key(project_id, pair.access_key_id)
    await accounts.create_key(project_id, "more")


async def test_a_key_without_signed_calls_has_no_secret_to_sign_with_and_never_will(
    accounts: Accounts, store: Store, pair: KeyPair
) -> None:
    project_id = (await accounts.project()).project_id
    made = await accounts.create_key(project_id, "plain", allow_signed=False)
    assert (await accounts.key(project_id, pair.access_key_id)).allow_signed
    for one in (made, pair):
        changed = await accounts.change_key(project_id, one.access_key_id, {"allow_signed": False})
        assert not changed.allow_signed
        changed = await accounts.change_key(project_id, one.access_key_id, {"name": "y"})
        assert (changed.name, changed.allow_signed) == ("y", False)
        with pytest.raises(ConflictError, match="make a new key") as caught:
            await accounts.change_key(project_id, one.access_key_id, {"name": "z", "allow_signed": True})
        assert caught.value.field == "allow_signed"
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM api_key WHERE secret_sealed IS NOT NULL") == []


async def test_a_key_without_signed_calls_makes_none_that_has_them(accounts: Accounts, pair: KeyPair) -> None:
    project_id = (await accounts.project()).project_id
    plain, signing = Maker(KeyTerms(), 0, allow_signed=False), Maker(KeyTerms(), 0)
    for maker, wanted in ((plain, False), (signing, True)):
        made = await accounts.create_key(project_id, "made", maker=maker)
        assert (await accounts.key(project_id, made.access_key_id)).allow_signed is wanted
    with pytest.raises(ForbiddenError) as caught:
        await accounts.create_key(project_id, "more", allow_signed=True, maker=plain)
    assert caught.value.field == "allow_signed"
    changed = await accounts.change_key(project_id, pair.access_key_id, {"name": "x"}, maker=plain)
    assert changed.allow_signed
