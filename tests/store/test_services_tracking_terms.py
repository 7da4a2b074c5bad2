"""Terms of tracking: whose word counts, where links lead, and what is refused."""

from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import CallerError, NotFoundError
from outrider.base.vocab import TrackedMail
from outrider.mail.link_tokens import Kind
from outrider.policy.tracking import Terms
from outrider.services.tracking_terms import TrackingTerms, tokens_of
from outrider.store import domains, tracking
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom

pytestmark = pytest.mark.newest

VAULT = Vault(bytes(range(32)))
ROOT = "https://mail.us.example"


def terms_of(store: Store, clock: FakeClock, root: str = ROOT) -> TrackingTerms:
    return TrackingTerms(store, tokens_of(VAULT), clock=clock, links_root=root)


@pytest.fixture
async def shop(store: Store, mailroom: Mailroom, clock: FakeClock) -> UUID:
    project_id = await mailroom.project("shop")
    now = clock.now()
    async with store.transaction() as tx:
        await domains.insert(tx, Domain(mailroom.new_id(), project_id, "shop.example", now, verified_at=now))
        hosted = Domain(
            mailroom.new_id(), project_id, "own.example", now, verified_at=now, tracking_host="t.own.example"
        )
        await domains.insert(tx, hosted)
    return project_id


async def test_what_a_domain_says_counts_over_its_project(store: Store, clock: FakeClock, shop: UUID) -> None:
    terms = terms_of(store, clock)
    assert (await terms.ground_of(shop, "shop.example")).terms == Terms()
    await terms.change(shop, {"opens": "all", "utm": {"utm_source": "news"}})
    view = await terms.change(shop, {"opens": "off"}, domain="shop.example")
    assert (view.own, view.base_url) == (Terms(opens=TrackedMail.OFF), ROOT)
    assert view.terms == Terms(opens=TrackedMail.OFF, utm={"utm_source": "news"})
    clock.advance(0.6)
    assert (await terms.ground_of(shop, "shop.example")).terms == view.terms
    assert (await terms.change(shop, {"opens": None}, domain="shop.example")).own == Terms()


async def test_links_lead_to_the_domains_own_host(store: Store, clock: FakeClock, shop: UUID) -> None:
    ground = await terms_of(store, clock).ground_of(shop, "own.example")
    assert (ground.base_url, ground.host, ground.links_root) == ("https://t.own.example", "t.own.example", ROOT)


async def test_nothing_is_tracked_that_would_lead_nowhere(store: Store, clock: FakeClock, shop: UUID) -> None:
    terms = terms_of(store, clock, root="")
    with pytest.raises(CallerError, match="public_url"):
        await terms.change(shop, {"clicks": "all"})
    await terms.change(shop, {"clicks": "off", "footer": False})
    assert (await terms.change(shop, {"clicks": "all"}, domain="own.example")).base_url == "https://t.own.example"


async def test_hosts_are_stored_as_links_are_held_against_them(store: Store, clock: FakeClock, shop: UUID) -> None:
    terms = terms_of(store, clock)
    view = await terms.change(shop, {"excluded_hosts": ["Shop.Example.", "*.m\u00fcller.example"]})
    assert view.own.excluded_hosts == ["shop.example", "*.xn--mller-kva.example"]


async def test_what_was_stored_before_it_was_checked_is_read_and_hinders_no_change(
    store: Store, clock: FakeClock, shop: UUID
) -> None:
    old = Terms(
        excluded_hosts=["https://pay.example", "M\u00fcller.example"], utm={"utm_source": "{nope}", "utm_term": ""}
    )
    async with store.transaction() as tx:
        await tracking.set_of_project(tx, shop, msgspec.json.encode(old).decode())
    view = await terms_of(store, clock).change(shop, {"opens": "all"})
    assert view.own.utm == old.utm
    assert view.own.excluded_hosts == ["https://pay.example", "xn--mller-kva.example"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"opens": "some"},
        {"utm": {"x": "y"}},
        {"utm": {"utm_source": "a\x00b"}},
        {"excluded_hosts": [""]},
        {"excluded_hosts": ["a\x00b"]},
    ],
)
async def test_what_is_no_term_is_refused(store: Store, clock: FakeClock, shop: UUID, wrong: dict[str, object]) -> None:
    terms = terms_of(store, clock)
    with pytest.raises(CallerError):
        await terms.change(shop, wrong)
    with pytest.raises(NotFoundError):
        await terms.change(shop, {"opens": "all"}, domain="nobody.example")


def test_all_processes_read_what_one_of_them_made() -> None:
    recipient_id = UUID(int=7)
    token = tokens_of(VAULT).link(recipient_id, 3, "https://shop.example", host="")
    assert tokens_of(Vault(bytes(range(32)))).read(token, Kind.LINK, host="").recipient_id == recipient_id
