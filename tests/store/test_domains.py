"""Sending domains: claimed by many, proven by one; only the proven one's keys are the world's."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.store import domains
from outrider.store.domains import DkimKey, Domain
from outrider.store.pool import Store, StoreValueError
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


def key_of(domain: Domain, key_id: UUID, algorithm: str = "rsa-sha256", selector: str = "s1") -> DkimKey:
    return DkimKey(
        key_id, domain.project_id, domain.domain_id, selector, algorithm, b"sealed", f"p={key_id}", domain.created_at
    )


async def test_two_may_claim_and_one_may_verify(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, second = claims
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await domains.verify(tx, second.project_id, second.domain_id, now=clock.now())
    assert caught.value.detail["constraint"] == "domain_verified_elsewhere"
    async with store.transaction() as tx:
        kept = await domains.by_name(tx, second.project_id, "shop.example")
    assert kept == second, "the loser stays unverified"


async def test_a_third_may_claim_what_is_proven_but_not_prove_it(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    first, *_ = claims
    third = Domain(mailroom.new_id(), await mailroom.project("three"), "shop.example", clock.now())
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
        await domains.insert(tx, third)
    proven = msgspec.structs.replace(
        third, domain_id=mailroom.new_id(), project_id=await mailroom.project("four"), verified_at=clock.now()
    )
    with pytest.raises(ConflictError):
        async with store.transaction() as tx:
            await domains.insert(tx, proven)


async def test_verifying_twice_keeps_the_first_instant(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, *_ = claims
    async with store.transaction() as tx:
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now())
        await domains.verify(tx, first.project_id, first.domain_id, now=clock.now() + timedelta(days=1))
        found = await domains.by_name(tx, first.project_id, "shop.example")
    assert found is not None
    assert found.verified_at == clock.now()


async def test_nobody_verifies_for_another(store: Store, clock: FakeClock, claims: list[Domain]) -> None:
    first, second = claims
    async with store.transaction() as tx:
        await domains.verify(tx, second.project_id, first.domain_id, now=clock.now())
        assert await domains.by_name(tx, first.project_id, "shop.example") == first


async def test_a_project_has_a_name_once(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    again = msgspec.structs.replace(claims[0], domain_id=mailroom.new_id())
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await domains.insert(tx, again)
    assert caught.value.detail["constraint"] == "domain_name_taken"


async def test_a_project_sees_its_own_by_name(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    first, _ = claims
    earlier = msgspec.structs.replace(first, domain_id=mailroom.new_id(), name="a.example")
    async with store.transaction() as tx:
        await domains.insert(tx, earlier)
        assert await domains.of_project(tx, first.project_id) == [earlier, first]
        assert await domains.by_name(tx, first.project_id, "none.example") is None


async def test_only_a_verified_domain_publishes(
    store: Store, clock: FakeClock, mailroom: Mailroom, claims: list[Domain]
) -> None:
    _, second = claims
    keys = [key_of(domain, mailroom.new_id()) for domain in claims]
    async with store.transaction() as tx:
        for key in keys:
            await domains.insert_key(tx, key)
        assert await domains.published_record(tx, "shop.example", "s1") is None
        await domains.verify(tx, second.project_id, second.domain_id, now=clock.now())
        assert await domains.published_record(tx, "shop.example", "s1") == keys[1].public_record
        assert await domains.published_record(tx, "shop.example", "s2") is None
        assert await domains.published_record(tx, "other.example", "s1") is None


async def test_keys_come_rsa_first_and_to_their_project_only(
    store: Store, mailroom: Mailroom, claims: list[Domain]
) -> None:
    first, second = claims
    modern = key_of(first, mailroom.new_id(), "ed25519-sha256", "a")
    rsa = key_of(first, mailroom.new_id(), "rsa-sha256", "b")
    async with store.transaction() as tx:
        await domains.insert_key(tx, modern)
        await domains.insert_key(tx, rsa)
        assert await domains.keys_of(tx, first.project_id, "shop.example") == [rsa, modern]
        assert await domains.keys_of(tx, second.project_id, "shop.example") == []


async def test_a_selector_is_one_key(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    async with store.transaction() as tx:
        await domains.insert_key(tx, key_of(claims[0], mailroom.new_id()))
    with pytest.raises(ConflictError) as caught:
        async with store.transaction() as tx:
            await domains.insert_key(tx, key_of(claims[0], mailroom.new_id()))
    assert caught.value.detail["constraint"] == "dkim_selector_taken"


async def test_a_rate_is_one_projects_and_may_go_again(store: Store, claims: list[Domain]) -> None:
    first, second = claims
    async with store.transaction() as tx:
        for rate in (1, 60, 1_000_000, None):
            await domains.set_rate(tx, first.project_id, "shop.example", rate)
            assert await domains.by_name(tx, first.project_id, "shop.example") == msgspec.structs.replace(
                first, rate_per_minute=rate
            )
            assert await domains.of_project(tx, second.project_id) == [second]
        await domains.set_rate(tx, first.project_id, "none.example", 5)


@pytest.mark.parametrize("rate", [0, -1, 1_000_001])
async def test_a_rate_out_of_bounds_is_refused(store: Store, claims: list[Domain], rate: int) -> None:
    with pytest.raises(StoreValueError):
        async with store.transaction() as tx:
            await domains.set_rate(tx, claims[0].project_id, "shop.example", rate)


async def test_a_domain_may_be_made_with_its_rate(store: Store, mailroom: Mailroom, claims: list[Domain]) -> None:
    slow = msgspec.structs.replace(claims[0], domain_id=mailroom.new_id(), name="slow.example", rate_per_minute=5)
    async with store.transaction() as tx:
        await domains.insert(tx, slow)
        assert await domains.by_name(tx, slow.project_id, "slow.example") == slow
