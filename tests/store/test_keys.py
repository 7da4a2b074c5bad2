"""API keys: their project's, found by id, revoked for good."""

from datetime import datetime, timedelta

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import KeyScope
from outrider.store import keys
from outrider.store.keys import ApiKey, KeyTerms
from outrider.store.pool import Store, StoreValueError
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


@pytest.fixture
async def key(store: Store, clock: FakeClock, mailroom: Mailroom) -> ApiKey:
    made = ApiKey("0" * 31 + "a", await mailroom.project(), bytes(range(32)), "first", clock.now())
    async with store.transaction() as tx:
        await keys.insert(tx, made)
    return made


async def test_a_key_is_read_as_it_was_written(store: Store, key: ApiKey) -> None:
    async with store.transaction() as tx:
        assert await keys.by_id(tx, key.access_key_id) == key
        assert await keys.by_id(tx, "0" * 32) is None


async def test_a_project_sees_its_own_oldest_first(
    store: Store, clock: FakeClock, mailroom: Mailroom, key: ApiKey
) -> None:
    older = msgspec.structs.replace(key, access_key_id="f" * 32, created_at=clock.now() - timedelta(days=1))
    foreign = msgspec.structs.replace(key, access_key_id="e" * 32, project_id=await mailroom.project("other"))
    async with store.transaction() as tx:
        await keys.insert(tx, older)
        await keys.insert(tx, foreign)
        assert await keys.of_project(tx, key.project_id) == [older, key]


async def test_revoking_twice_keeps_the_first_instant(store: Store, clock: FakeClock, key: ApiKey) -> None:
    revoked_at = clock.now()
    async with store.transaction() as tx:
        assert await keys.revoke(tx, key.project_id, key.access_key_id, now=revoked_at)
        assert await keys.revoke(tx, key.project_id, key.access_key_id, now=revoked_at + timedelta(hours=1))
        found = await keys.by_id(tx, key.access_key_id)
    assert found == msgspec.structs.replace(key, revoked_at=revoked_at)


async def test_those_revoked_long_ago_are_forgotten_a_batch_at_a_time(
    store: Store, clock: FakeClock, key: ApiKey
) -> None:
    revoked = [msgspec.structs.replace(key, access_key_id=f"{n:032x}") for n in range(3)]
    now = clock.now()
    async with store.transaction() as tx:
        for one, days in zip(revoked, (9, 8, 1), strict=True):
            await keys.insert(tx, one)
            await keys.revoke(tx, key.project_id, one.access_key_id, now=now - timedelta(days=days))
        assert await keys.forget_revoked(tx, before=now - timedelta(days=5), count_max=2)
        assert not await keys.forget_revoked(tx, before=now - timedelta(days=5), count_max=2)
        left = await keys.of_project(tx, key.project_id)
    assert {one.access_key_id for one in left} == {key.access_key_id, revoked[2].access_key_id}


async def test_valid_keys_are_counted(store: Store, clock: FakeClock, mailroom: Mailroom, key: ApiKey) -> None:
    revoked = msgspec.structs.replace(key, access_key_id="f" * 32)
    foreign = msgspec.structs.replace(key, access_key_id="e" * 32, project_id=await mailroom.project("other"))
    async with store.transaction() as tx:
        for one in (revoked, foreign):
            await keys.insert(tx, one)
        assert await keys.valid_count(tx, key.project_id) == 2
        await keys.revoke(tx, key.project_id, revoked.access_key_id, now=clock.now())
        assert await keys.valid_count(tx, key.project_id) == 1


async def test_a_secret_stays_until_it_is_forgotten(store: Store, key: ApiKey) -> None:
    sealed = msgspec.structs.replace(key, access_key_id="f" * 32, secret_sealed=b"sealed")
    async with store.transaction() as tx:
        await keys.insert(tx, sealed)
        for keep_secret, wanted in ((True, True), (False, False), (True, False)):
            changed = await keys.change(
                tx, key.project_id, sealed.access_key_id, name="x", terms=key.terms, keep_secret=keep_secret
            )
            assert changed is not None
            assert changed.allow_signed is wanted


async def test_nobody_revokes_another_projects_key(
    store: Store, clock: FakeClock, mailroom: Mailroom, key: ApiKey
) -> None:
    other_id = await mailroom.project("other")
    async with store.transaction() as tx:
        assert not await keys.revoke(tx, other_id, key.access_key_id, now=clock.now())
        assert not await keys.revoke(tx, key.project_id, "f" * 32, now=clock.now())
        assert await keys.by_id(tx, key.access_key_id) == key


async def test_one_id_is_one_key(store: Store, key: ApiKey) -> None:
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await keys.insert(tx, key)


@pytest.mark.parametrize(
    "change",
    [
        {"access_key_id": "A" * 32},
        {"access_key_id": "a" * 31},
        {"secret_hash": b"short"},
        {"project_id": "00000000-0000-7000-8000-000000000000"},
    ],
)
async def test_what_is_no_key_is_refused(store: Store, key: ApiKey, change: dict[str, object]) -> None:
    wrong = msgspec.structs.replace(key, **({"access_key_id": "b" * 32} | change))
    with pytest.raises(StoreValueError):
        async with store.transaction() as tx:
            await keys.insert(tx, wrong)


async def test_a_key_has_the_terms_it_was_given_until_they_are_changed(
    store: Store, clock: FakeClock, mailroom: Mailroom, key: ApiKey
) -> None:
    terms = KeyTerms(
        scopes=frozenset({KeyScope.READ, KeyScope.SEND}),
        ip_ranges=("10.0.0.0/8", "::1/128"),
        domains=("shop.example",),
        expires_at=clock.now() + timedelta(days=1),
        rate_per_minute=0,
    )
    made = msgspec.structs.replace(key, access_key_id="b" * 32, terms=terms, secret_sealed=b"sealed")
    other_id = await mailroom.project("other")
    async with store.transaction() as tx:
        await keys.insert(tx, made)
        assert await keys.by_id(tx, made.access_key_id) == made
        changed = await keys.change(tx, made.project_id, made.access_key_id, name="other", terms=KeyTerms())
        assert changed == msgspec.structs.replace(made, name="other", terms=KeyTerms())
        assert await keys.by_id(tx, made.access_key_id) == changed
        assert await keys.change(tx, other_id, made.access_key_id, name="stolen", terms=terms) is None
        assert await keys.by_id(tx, key.access_key_id) == key


async def test_use_is_noted_now_and_then_and_nobody_waits_for_it(store: Store, clock: FakeClock, key: ApiKey) -> None:
    now, every = clock.now(), timedelta(seconds=10)
    used = (key.project_id, key.access_key_id)

    async def used_at() -> datetime | None:
        async with store.transaction() as tx:
            found = await keys.by_id(tx, key.access_key_id)
        return found.last_used_at if found else None

    for at, noted in ((now, now), (now + every, now), (now + every * 1.5, now + every * 1.5)):
        async with store.transaction() as tx:
            await keys.mark_used(tx, [used, (key.project_id, "f" * 32)], now=at, every=every)
        assert await used_at() == noted
    async with store.transaction() as holder, store.transaction() as tx:
        await keys.mark_used(holder, [used], now=now + every * 3, every=every)
        await keys.mark_used(tx, [used], now=now + every * 4, every=every)  # Passes by.
    assert await used_at() == now + every * 3
