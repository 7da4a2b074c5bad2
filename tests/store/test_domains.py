"""Sending domains: claimed by many, proven by one."""

from datetime import timedelta

import msgspec
import pytest

from outrider.base.errors import ConflictError
from outrider.store import domains
from outrider.store.domains import Domain
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
