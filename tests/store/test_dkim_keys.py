"""DKIM keys at rest: of one domain and project, with states whose instants tell when."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.base.vocab import KeyState
from outrider.store import dkim_keys, domains
from outrider.store.dkim_keys import DkimKey, Sight
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


@pytest.fixture
async def claims(store: Store, clock: FakeClock, mailroom: Mailroom) -> list[Domain]:
    """Give one name, claimed by two projects, proven by none."""
    found = [
        Domain(mailroom.new_id(), await mailroom.project(name), "shop.example", clock.now()) for name in ("one", "two")
    ]
    async with store.transaction() as tx:
        for domain in found:
            await domains.insert(tx, domain)
    return found


def key_of(domain: Domain, key_id: UUID, selector: str = "s1", algorithm: str = "rsa-sha256") -> DkimKey:
    return DkimKey(
        dkim_key_id=key_id,
        project_id=domain.project_id,
        domain_id=domain.domain_id,
        selector=selector,
        algorithm=algorithm,
        private_key_sealed=b"sealed",
        public_record=f"p={key_id}",
        created_at=domain.created_at,
    )


async def test_only_a_verified_domain_publishes(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    _, second = claims
    keys = [key_of(domain, mailroom.new_id()) for domain in claims]
    async with store.transaction() as tx:
        for key in keys:
            await dkim_keys.insert(tx, key)
        assert await dkim_keys.published_record(tx, "shop.example", "s1") is None
        await domains.verify(tx, second.project_id, second.domain_id, now=clock.now())
        assert await dkim_keys.published_record(tx, "shop.example", "s1") == keys[1].public_record
        assert await dkim_keys.published_record(tx, "shop.example", "s2") is None
        assert await dkim_keys.published_record(tx, "other.example", "s1") is None


async def test_keys_come_rsa_first_and_to_their_project_only(
    store: Store, mailroom: Mailroom, claims: list[Domain]
) -> None:
    first, second = claims
    modern = key_of(first, mailroom.new_id(), "a", "ed25519-sha256")
    rsa = key_of(first, mailroom.new_id(), "b", "rsa-sha256")
    async with store.transaction() as tx:
        for key in (modern, rsa):
            await dkim_keys.insert(tx, key)
        assert await dkim_keys.of_domain(tx, first.project_id, "shop.example") == [rsa, modern]
        assert await dkim_keys.of_domain(tx, second.project_id, "shop.example") == []
        assert await dkim_keys.signing(tx, first.project_id, "shop.example") == []


async def test_a_selector_is_one_key(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    async with store.transaction() as tx:
        await dkim_keys.insert(tx, key_of(claims[0], mailroom.new_id()))
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await dkim_keys.insert(tx, key_of(claims[0], mailroom.new_id()))
    assert caught.value.detail["constraint"] == dkim_keys.SELECTOR_TAKEN


async def test_each_field_comes_back_as_it_went(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    plain = key_of(claims[0], mailroom.new_id())
    instants = {
        name: clock.now() + timedelta(days=at)
        for at, name in enumerate(("seen_at", "missing_at", "signing_at", "retiring_at", "retired_at"))
    }
    full = msgspec.structs.replace(
        plain, state=KeyState.RETIRING, is_own=True, is_delegated=True, private_key_sealed=b"\x00", **instants
    )
    async with store.transaction() as tx:
        await dkim_keys.insert(tx, full)
        assert await dkim_keys.of_domain(tx, full.project_id, "shop.example") == [full]


async def test_a_retired_key_has_no_private_half(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    key = key_of(claims[0], mailroom.new_id())
    async with store.transaction() as tx:
        await dkim_keys.insert(tx, key)
        for days, state in enumerate((KeyState.SIGNING, KeyState.RETIRING, KeyState.RETIRED)):
            now = clock.now() + timedelta(days=days)
            await dkim_keys.move(tx, claims[1].project_id, key.dkim_key_id, state, now=now)  # Somebody else's.
            await dkim_keys.move(tx, key.project_id, key.dkim_key_id, state, now=now)
        (found,) = await dkim_keys.of_domain(tx, key.project_id, "shop.example")
    start = clock.now()
    assert found == msgspec.structs.replace(
        key,
        state=KeyState.RETIRED,
        private_key_sealed=b"",
        signing_at=start,
        retiring_at=start + timedelta(days=1),
        retired_at=start + timedelta(days=2),
    )


async def test_the_first_sight_counts_until_it_is_gone(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    key = key_of(claims[0], mailroom.new_id())
    start = clock.now()
    seen = []
    async with store.transaction() as tx:
        await dkim_keys.insert(tx, key)
        for days, is_published in enumerate((True, True, False, False, True)):
            sight = Sight(selector=key.selector, record=key.public_record, is_published=is_published)
            await dkim_keys.saw(tx, key.project_id, key.domain_id, sight, now=start + timedelta(days=days))
            other = Sight(selector=key.selector, record="v=DKIM1; p=AAAA", is_published=not is_published)
            await dkim_keys.saw(tx, key.project_id, key.domain_id, other, now=start + timedelta(days=days))
            (found,) = await dkim_keys.of_domain(tx, key.project_id, "shop.example")
            seen.append((found.seen_at, found.missing_at))
    days = [start + timedelta(days=n) for n in range(5)]
    assert seen == [(days[0], None), (days[0], None), (None, days[2]), (None, days[2]), (days[4], None)]


async def test_a_word_counts_where_nothing_signs_yet(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    first, second = claims
    keys = [
        msgspec.structs.replace(key_of(first, mailroom.new_id(), "old"), state=KeyState.SIGNING),
        key_of(first, mailroom.new_id(), "new"),
        key_of(first, mailroom.new_id(), "ed", "ed25519-sha256"),
        key_of(second, mailroom.new_id()),
    ]
    async with store.transaction() as tx:
        for key in keys:
            await dkim_keys.insert(tx, key)
        await dkim_keys.trust(tx, first.project_id, first.domain_id, now=clock.now())
        await dkim_keys.trust(tx, first.project_id, second.domain_id, now=clock.now())
        signing = [one.selector for one in await dkim_keys.signing(tx, first.project_id, "shop.example")]
        assert signing == ["old", "ed"]
        assert await dkim_keys.signing(tx, second.project_id, "shop.example") == []


async def test_what_is_sealed_otherwise_is_found_and_counted(
    store: Store, mailroom: Mailroom, claims: list[Domain]
) -> None:
    sealed = {"a": b"new-1", "b": b"old-1", "c": b"old-2", "d": b""}
    keys = [
        msgspec.structs.replace(key_of(claims[0], mailroom.new_id(), selector), private_key_sealed=octets)
        for selector, octets in sealed.items()
    ]
    async with store.transaction() as tx:
        for key in keys:
            await dkim_keys.insert(tx, key)
        assert await dkim_keys.count_sealed(tx, 3) == {b"new": 1, b"old": 2}
        (one,) = await dkim_keys.sealed_otherwise(tx, b"new", after="", count_max=1)
        await dkim_keys.reseal(tx, one.project_id, one.name, b"new-2")
        left = await dkim_keys.sealed_otherwise(tx, b"new", after="", count_max=9)
        assert [one.context.rpartition(":")[2] for one in left] == ["c"]
        assert await dkim_keys.sealed_otherwise(tx, b"new", after=left[0].name, count_max=9) == []
        await dkim_keys.remove(tx, claims[1].project_id, keys[0].dkim_key_id)
        await dkim_keys.remove(tx, claims[0].project_id, keys[1].dkim_key_id)
        assert await dkim_keys.count_sealed(tx, 3) == {b"new": 1, b"old": 1}
        await dkim_keys.remove_all(tx, claims[0].project_id, claims[0].domain_id)
        assert await dkim_keys.count_sealed(tx, 3) == {}
