"""Accounts: secrets shown once, kept as a hash, compared alike, revoked everywhere within a second."""

import asyncio
import contextlib
import hashlib
import random
import re
from collections.abc import AsyncIterator

import pytest

from outrider.base.errors import CallerError, NotFoundError, StoreUnavailableError, UnauthenticatedError
from outrider.services.accounts import Accounts, KeyPair
from outrider.store.pool import Store, Tx
from outrider.testing.clock import FakeClock

pytestmark = pytest.mark.newest


class CountingStore(Store):
    """A store that counts its transactions and can be away."""

    transaction_count = 0
    is_away = False

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        self.transaction_count += 1
        if self.is_away:
            raise StoreUnavailableError("The database is not available.")
        async with super().transaction() as tx:
            yield tx


@pytest.fixture
async def counting(store: Store) -> AsyncIterator[CountingStore]:
    async with CountingStore(store._dsn, store._settings) as opened:
        yield opened


@pytest.fixture
def accounts(counting: CountingStore, clock: FakeClock) -> Accounts:
    return Accounts(counting, clock=clock, random_bits=random.SystemRandom().getrandbits)


@pytest.fixture
def elsewhere(store: Store, clock: FakeClock) -> Accounts:
    """Give the accounts of another process."""
    return Accounts(store, clock=clock, random_bits=random.SystemRandom().getrandbits)


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
    zeros = Accounts(store, clock=clock, random_bits=lambda _: 0)
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


async def test_the_right_pair_is_its_project(accounts: Accounts, pair: KeyPair) -> None:
    other = await accounts.create_key((await accounts.ensure_project("other")).project_id, "second")
    for name, one in (("default", pair), ("other", other)):
        found = await accounts.authenticate(one.access_key_id, one.access_key_secret)
        assert found == (await accounts.project(name)).project_id
    with pytest.raises(UnauthenticatedError):
        await accounts.authenticate(pair.access_key_id, other.access_key_secret)


GARBAGE = ["", "x", "\x00", "é" * 32, "٣" * 32, "0" * 32, "A" * 32, "\ud800", "0" * 31 + "\x00", "f" * 10_000_000]


async def test_whatever_is_wrong_the_answer_is_the_same(accounts: Accounts, pair: KeyPair) -> None:
    key_id, secret = pair.access_key_id, pair.access_key_secret
    wrong = [(key_id.upper() + "A", secret), (key_id, secret + "A"), (key_id, secret[:-1]), (secret, key_id)]
    for garbage in GARBAGE:
        wrong += [(garbage, secret), (key_id, garbage), (garbage, garbage)]
    answers = set()
    for given in wrong:
        with pytest.raises(UnauthenticatedError) as caught:
            await accounts.authenticate(*given)
        answers.add((caught.value.public, caught.value.field, str(caught.value.detail)))
    assert len(answers) == 1
    await accounts.authenticate(key_id, secret)


async def test_what_cannot_be_a_key_costs_no_query(accounts: Accounts, counting: CountingStore) -> None:
    before = counting.transaction_count
    for garbage in ("x", "é" * 32, "\x00" * 32, "f" * 33):
        with pytest.raises(UnauthenticatedError):
            await accounts.authenticate(garbage, "secret")
    assert counting.transaction_count == before


async def test_one_query_for_all_calls_of_a_while(
    accounts: Accounts, counting: CountingStore, clock: FakeClock, pair: KeyPair
) -> None:
    before = counting.transaction_count
    for _ in range(3):
        calls = (accounts.authenticate(pair.access_key_id, pair.access_key_secret) for _ in range(50))
        await asyncio.gather(*calls)
    assert counting.transaction_count == before + 1
    clock.advance(0.5)
    await accounts.authenticate(pair.access_key_id, pair.access_key_secret)
    assert counting.transaction_count == before + 2


@pytest.mark.parametrize("delay_s", [0.0, 0.25, 0.5])
async def test_a_revoked_key_stops_working_everywhere_within_a_second(
    accounts: Accounts, elsewhere: Accounts, clock: FakeClock, pair: KeyPair, delay_s: float
) -> None:
    project_id = await elsewhere.authenticate(pair.access_key_id, pair.access_key_secret)
    clock.advance(delay_s)
    await accounts.revoke_key(project_id, pair.access_key_id)
    clock.advance(0.999)
    for one in (accounts, elsewhere):
        with pytest.raises(UnauthenticatedError):
            await one.authenticate(pair.access_key_id, pair.access_key_secret)


async def test_a_new_key_works_everywhere_within_a_second(
    accounts: Accounts, elsewhere: Accounts, clock: FakeClock, pair: KeyPair
) -> None:
    """Also one that somebody tried before it was there."""
    bits = random.Random(7)
    early = Accounts(elsewhere._store, clock=clock, random_bits=random.Random(7).getrandbits)
    project_id = (await accounts.project()).project_id
    secret_bits, id_bits = bits.getrandbits(288), bits.getrandbits(128)
    assert secret_bits
    with pytest.raises(UnauthenticatedError):
        await elsewhere.authenticate(f"{id_bits:032x}", "?")
    made = await early.create_key(project_id, "late")
    assert made.access_key_id == f"{id_bits:032x}"
    clock.advance(0.999)
    assert await elsewhere.authenticate(made.access_key_id, made.access_key_secret) == project_id


async def test_revoking_is_safe_twice_and_only_for_ones_own(
    accounts: Accounts, clock: FakeClock, pair: KeyPair
) -> None:
    project_id = (await accounts.project()).project_id
    other_id = (await accounts.ensure_project("other")).project_id
    with pytest.raises(NotFoundError):
        await accounts.revoke_key(other_id, pair.access_key_id)
    with pytest.raises(NotFoundError):
        await accounts.revoke_key(project_id, "0" * 32)
    assert await accounts.authenticate(pair.access_key_id, pair.access_key_secret) == project_id
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


async def test_when_nobody_can_tell_it_says_so(
    accounts: Accounts, counting: CountingStore, clock: FakeClock, pair: KeyPair
) -> None:
    counting.is_away = True
    with pytest.raises(StoreUnavailableError):
        await accounts.authenticate(pair.access_key_id, pair.access_key_secret)
    counting.is_away = False
    await accounts.authenticate(pair.access_key_id, pair.access_key_secret)
