"""The policy book: a proven domain's policy for its own mta-sts host, and nothing for anybody else."""

from uuid import UUID

import pytest

from outrider.base.vocab import MtaSts
from outrider.mail import sts_policy
from outrider.services import mta_sts as module
from outrider.services.mta_sts import PolicyBook
from outrider.store import domains
from outrider.store.domains import Domain, Options, Terms
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest

MX = "mx.us.example"


@pytest.fixture
def book(store: Store, clock: FakeClock) -> PolicyBook:
    return PolicyBook(store, mx_host=MX, clock=clock)


@pytest.fixture
async def shop(store: Store, clock: FakeClock, mailroom: Mailroom) -> Domain:
    """Give a proven domain with a return path."""
    domain = Domain(mailroom.new_id(), await mailroom.project("shop"), "shop.example", clock.now(), clock.now())
    terms = Terms(stream=None, return_path="b.shop.example", tracking_host="")
    async with store.transaction() as tx:
        await domains.insert(tx, domain)
        await domains.set_terms(tx, domain.project_id, domain.domain_id, terms, check_due_at=clock.now())
    return domain


async def switch(store: Store, clock: FakeClock, domain: Domain, mode: MtaSts) -> None:
    options = Options(mta_sts=mode, bimi_logo="", bimi_certificate="")
    async with store.transaction() as tx:
        await domains.set_options(tx, domain.project_id, domain.domain_id, options, check_due_at=clock.now())


async def test_a_policy_is_served_for_its_host_while_it_is_switched_on(
    store: Store, clock: FakeClock, book: PolicyBook, shop: Domain
) -> None:
    assert await book.text_of("mta-sts.b.shop.example") == ""
    for mode in (MtaSts.TESTING, MtaSts.ENFORCE, MtaSts.NONE, MtaSts.OFF):
        await switch(store, clock, shop, mode)
        clock.advance(module.FRESH_S)
        assert await book.text_of("MTA-STS.b.shop.example:443") == sts_policy.compose(mode, MX)


@pytest.mark.parametrize("host", ["", "b.shop.example", "mta-sts.shop.example", "mta-sts.x.example", "mta-sts.\x00"])
async def test_other_hosts_have_none(store: Store, clock: FakeClock, book: PolicyBook, shop: Domain, host: str) -> None:
    await switch(store, clock, shop, MtaSts.ENFORCE)
    assert await book.text_of(host) == ""


async def test_a_claim_that_nobody_has_proven_says_nothing(
    store: Store, clock: FakeClock, mailroom: Mailroom, book: PolicyBook
) -> None:
    claim = Domain(mailroom.new_id(), await mailroom.project("thief"), "shop.example", clock.now())
    terms = Terms(stream=None, return_path="b.shop.example", tracking_host="")
    async with store.transaction() as tx:
        await domains.insert(tx, claim)
        await domains.set_terms(tx, claim.project_id, claim.domain_id, terms, check_due_at=clock.now())
    await switch(store, clock, claim, MtaSts.ENFORCE)
    assert await book.text_of("mta-sts.b.shop.example") == ""


async def test_strangers_who_ask_for_anything_cost_one_query(
    store: Store, clock: FakeClock, shop: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[UUID] = []
    read = domains.mta_sts_modes

    async def counting(tx: object) -> object:
        asked.append(UUID(int=0))
        return await read(tx)  # type: ignore[arg-type]

    monkeypatch.setattr(domains, "mta_sts_modes", counting)
    book = PolicyBook(store, mx_host=MX, clock=clock)
    for number in range(100):
        assert await book.text_of(f"mta-sts.n{number}.example") == ""
    assert len(asked) == 1
