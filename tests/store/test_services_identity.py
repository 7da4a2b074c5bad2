"""Identity: domains with their first keys, each its project's alone."""

import random
from typing import TypeVar
from uuid import UUID

import msgspec
import pytest

from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.base.vocab import MtaSts, RecordState, SenderRule, Stream
from outrider.mail import address, dkim
from outrider.policy.standing import Standing
from outrider.services import identity as module
from outrider.services.dkim_keys import KeyRing
from outrider.services.identity import BounceDomain, Identity
from outrider.services.senders import Senders
from outrider.services.settings import IdentitySettings
from outrider.store import domains
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from tests.store.racing import held_up

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("quick_keys")]

NEWS = address.parse("news@shop.example")
MASTER_KEY = bytes(range(32))
Result = TypeVar("Result")


def ring_of(store: Store, clock: FakeClock) -> KeyRing:
    random_bits = random.SystemRandom().getrandbits
    return KeyRing(store, Vault(MASTER_KEY), IdentitySettings(), clock=clock, random_bits=random_bits)


def identity_of(store: Store, clock: FakeClock, shared_domain: str = "") -> Identity:
    random_bits = random.SystemRandom().getrandbits
    keys = ring_of(store, clock)
    return Identity(store, keys, clock=clock, random_bits=random_bits, shared_domain=shared_domain)


@pytest.fixture
def identity(store: Store, clock: FakeClock) -> Identity:
    return identity_of(store, clock)


@pytest.fixture
def ring(store: Store, clock: FakeClock) -> KeyRing:
    return ring_of(store, clock)


@pytest.fixture
async def shop(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


@pytest.fixture
async def other(mailroom: Mailroom) -> UUID:
    return await mailroom.project("other")


async def test_the_records_to_publish_belong_to_the_keys(identity: Identity, ring: KeyRing, shop: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    keys = await ring.of_domain(shop, "shop.example")
    assert len(keys) == 2
    for key in keys:
        assert await ring.published_record("shop.example", key.selector) == dkim.public_record(key)


async def test_adding_a_domain_twice_is_harmless(identity: Identity, shop: UUID) -> None:
    first = await identity.add_domain(shop, "shop.example", is_verified=False)
    assert first.verified_at is None
    assert await identity.add_domain(shop, "SHOP.example", is_verified=False) == first
    verified = await identity.add_domain(shop, "shop.example", is_verified=True)
    assert verified.verified_at is not None
    assert await identity.add_domain(shop, "shop.example", is_verified=False) == verified
    assert await identity.list_domains(shop) == [verified]


async def test_a_domain_two_add_at_the_same_moment_is_there_once(
    store: Store, identity: Identity, ring: KeyRing, shop: UUID
) -> None:
    results = await held_up(
        store,
        "domain",
        [identity.add_domain(shop, "shop.example", is_verified=is_verified) for is_verified in (True, True, False)],
    )
    (domain,) = await identity.list_domains(shop)
    assert domain.verified_at is not None
    assert {result.domain_id for result in results} == {domain.domain_id}
    assert len(await ring.of_domain(shop, "shop.example")) == 2


async def test_a_domain_another_project_has_proven_is_a_conflict(identity: Identity, shop: UUID, other: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    claimed = await identity.add_domain(other, "free.example", is_verified=False)
    with pytest.raises(ConflictError) as caught:
        await identity.add_domain(other, "shop.example", is_verified=True)
    assert caught.value.field == "domain"
    await identity.add_domain(other, "shop.example", is_verified=False)
    with pytest.raises(ConflictError):
        await identity.add_domain(other, "shop.example", is_verified=True)
    names = [(domain.name, domain.verified_at) for domain in await identity.list_domains(other)]
    assert names == [(claimed.name, None), ("shop.example", None)]


async def test_an_international_domain_is_kept_as_its_alabel(identity: Identity, ring: KeyRing, shop: UUID) -> None:
    domain = await identity.add_domain(shop, "BÜCHER.example", is_verified=True)
    assert domain.name == "xn--bcher-kva.example"
    assert await identity.domain(shop, "bücher.example") == domain
    assert [key.domain for key in await ring.of_domain(shop, domain.name)] == [domain.name] * 2


async def test_what_is_no_domain_name_is_refused(identity: Identity, shop: UUID) -> None:
    for name in (
        "",
        "example",
        "shop..example",
        "shop.example ",
        "a b.example",
        "-x.example",
        "\x00",
        "\ud800.example",
    ):
        for asked in (identity.add_domain(shop, name, is_verified=True), identity.domain(shop, name)):
            with pytest.raises(CallerError) as caught:
                await asked
            assert caught.value.field == "domain"
    assert await identity.list_domains(shop) == []


async def test_a_domain_is_its_projects_alone(identity: Identity, ring: KeyRing, shop: UUID, other: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    assert await identity.list_domains(other) == []
    assert await ring.of_domain(other, "shop.example") == []
    for asked in (
        identity.domain(other, "shop.example"),
        identity.change_domain(other, "shop.example", {"stream": Stream.MARKETING}),
        identity.remove_domain(other, "shop.example"),
    ):
        with pytest.raises(NotFoundError):
            await asked


async def test_a_domain_may_sign_with_one_algorithm_alone(identity: Identity, ring: KeyRing, shop: UUID) -> None:
    await identity.add_domain(shop, "rsa.example", is_verified=True, algorithms=["rsa-sha256"])
    assert [key.algorithm for key in await ring.of_domain(shop, "rsa.example")] == ["rsa-sha256"]
    for wrong in ([], ["rsa-sha1"], ["rsa-sha256", ""]):
        with pytest.raises(CallerError) as caught:
            await identity.add_domain(shop, "none.example", is_verified=True, algorithms=wrong)
        assert caught.value.field == "algorithms"
    assert [domain.name for domain in await identity.list_domains(shop)] == ["rsa.example"]


async def test_a_rate_holds_everywhere_within_a_second(
    store: Store, clock: FakeClock, identity: Identity, shop: UUID, other: UUID
) -> None:
    elsewhere = identity_of(store, clock)
    for project_id in (shop, other):
        await identity.add_domain(project_id, "shop.example", is_verified=False)
    assert await elsewhere.rate_of(shop, "shop.example") is None
    assert (await identity.change_domain(shop, "Shop.Example", {"rate_per_minute": 60})).rate_per_minute == 60
    clock.advance(module.FRESH_S)
    assert await elsewhere.rate_of(shop, "shop.example") == 60
    assert await elsewhere.rate_of(other, "shop.example") is None
    assert await elsewhere.rate_of(shop, "none.example") is None
    assert (await identity.change_domain(shop, "shop.example", {"rate_per_minute": None})).rate_per_minute is None
    clock.advance(module.FRESH_S)
    assert await elsewhere.rate_of(shop, "shop.example") is None


@pytest.mark.parametrize("rate", [0, -1, 1_000_001, 10**30])
async def test_a_rate_out_of_bounds_names_its_field(identity: Identity, shop: UUID, rate: int) -> None:
    domain = await identity.add_domain(shop, "shop.example", is_verified=False)
    with pytest.raises(CallerError) as caught:
        await identity.change_domain(shop, "shop.example", {"rate_per_minute": rate})
    assert caught.value.field == "rate_per_minute"
    assert await identity.domain(shop, "shop.example") == domain


async def test_a_rate_is_set_on_ones_own_domain_only(identity: Identity, shop: UUID, other: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    with pytest.raises(NotFoundError):
        await identity.change_domain(other, "shop.example", {"rate_per_minute": 60})
    with pytest.raises(CallerError):
        await identity.change_domain(shop, "no domain", {"rate_per_minute": 60})
    assert (await identity.domain(shop, "shop.example")).rate_per_minute is None


async def test_who_may_send_from_a_domain_is_said_with_the_domain(identity: Identity, shop: UUID, other: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    assert (await identity.change_domain(shop, "Shop.Example", {"senders": SenderRule.ANY})).senders == SenderRule.ANY
    with pytest.raises(NotFoundError):
        await identity.change_domain(other, "shop.example", {"senders": SenderRule.LISTED})
    assert (await identity.domain(shop, "shop.example")).senders == SenderRule.ANY


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tracking_host": "t.other.example"}, "tracking_host"),
        ({"bimi_logo": "http://shop.example/logo.svg"}, "bimi_logo"),
        ({"rate_per_minute": 0}, "rate_per_minute"),
        ({"return_path": "", "mta_sts": MtaSts.TESTING}, "mta_sts"),
    ],
)
async def test_a_change_that_is_wrong_in_part_changes_nothing(
    identity: Identity, shop: UUID, wrong: dict[str, object], field: str
) -> None:
    before = await identity.add_domain(shop, "shop.example", is_verified=False)
    changes = {"stream": Stream.MARKETING, "bimi_logo": "https://shop.example/l.svg", "senders": SenderRule.ANY}
    with pytest.raises(CallerError) as caught:
        await identity.change_domain(shop, "shop.example", changes | wrong)
    assert caught.value.field == field
    assert await identity.domain(shop, "shop.example") == before


async def test_mta_sts_may_come_with_the_return_path_that_it_needs(identity: Identity, shop: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    changes = {"mta_sts": MtaSts.TESTING, "return_path": "b.shop.example"}
    changed = await identity.change_domain(shop, "shop.example", changes)
    assert (changed.mta_sts, changed.return_path) == (MtaSts.TESTING, "b.shop.example")


# Bounce domains.


async def test_a_project_s_bounces_come_back_below_its_own_verified_domain(
    identity: Identity, shop: UUID, other: UUID
) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    await identity.add_domain(shop, "unproven.example", is_verified=False)
    assert await identity.bounce_domain(shop) == BounceDomain("", is_shared=True)
    for name in ("bounces.shop.example", "shop.example"):
        set_ = await identity.set_bounce_domain(shop, name.upper())
        assert set_ == await identity.bounce_domain(shop) == BounceDomain(name, is_shared=False)
        assert set_.feedback_address == f"feedback@{name}"
    for name in ("bounces.unproven.example", "xshop.example", "example", "shop.example.evil.example"):
        with pytest.raises(CallerError):
            await identity.set_bounce_domain(shop, name)
    with pytest.raises(NotFoundError):
        await identity.set_bounce_domain(other, "bounces.shop.example")
    assert await identity.set_bounce_domain(shop, "") == BounceDomain("", is_shared=True)
    assert BounceDomain("", is_shared=True).feedback_address == ""


async def test_the_shared_one_is_of_those_who_have_none(store: Store, clock: FakeClock, shop: UUID) -> None:
    identity = identity_of(store, clock, shared_domain="bounces.us.example")
    assert await identity.bounce_domain(shop) == BounceDomain("bounces.us.example", is_shared=True)


# What a domain is for, and its hosts.


async def test_a_new_domain_has_a_return_path_below_it_and_on_somebodys_word_none(
    identity: Identity, shop: UUID
) -> None:
    added = await identity.add_domain(shop, "mail.shop.example", is_verified=False)
    assert (added.return_path, added.tracking_host, added.stream) == ("bounces.mail.shop.example", "", None)
    assert (added.state, added.verified_at, added.checked_at) == (RecordState.UNVERIFIED, None, None)
    assert (await identity.add_domain(shop, "b.example", is_verified=True)).return_path == ""
    long = ".".join(["x" * 60] * 4)
    assert (await identity.add_domain(shop, f"{long}.example", is_verified=False)).return_path == ""


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"return_path": "bounces.other.example"}, "return_path"),
        ({"return_path": "no host"}, "return_path"),
        ({"return_path": "evil\r\n.shop.example"}, "return_path"),
        ({"tracking_host": "track.shop.example.evil.example"}, "tracking_host"),
        ({"tracking_host": "mail.shop.example"}, "tracking_host"),
        ({"tracking_host": "t.shop.example", "return_path": "t.shop.example"}, "tracking_host"),
    ],
)
async def test_a_host_that_is_none_of_the_domains_is_refused(
    identity: Identity, shop: UUID, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(CallerError) as caught:
        await identity.add_domain(shop, "mail.shop.example", is_verified=False, **changes)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert await identity.list_domains(shop) == []
    await identity.add_domain(shop, "mail.shop.example", is_verified=False, return_path="")
    with pytest.raises(CallerError) as caught:
        await identity.change_domain(shop, "mail.shop.example", changes)  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_what_nobody_has_proven_can_be_changed_and_removed(
    store: Store, clock: FakeClock, identity: Identity, ring: KeyRing, shop: UUID
) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=False, stream=Stream.MARKETING)
    senders = Senders(store, clock=clock, random_bits=random.SystemRandom().getrandbits)
    await senders.add(shop, "news@shop.example", "News")
    changed = await identity.change_domain(
        shop,
        "Shop.Example",
        {"stream": Stream.TRANSACTIONAL, "return_path": "b.shop.example", "tracking_host": "t.shop.example"},
    )
    assert (changed.stream, changed.return_path, changed.tracking_host) == (
        Stream.TRANSACTIONAL,
        "b.shop.example",
        "t.shop.example",
    )
    same = await identity.change_domain(shop, "shop.example", {})
    assert same == changed
    bare = await identity.change_domain(shop, "shop.example", {"stream": None, "return_path": "", "tracking_host": ""})
    assert (bare.stream, bare.return_path, bare.tracking_host) == (None, "", "")
    assert (await identity.remove_domain(shop, "shop.example")).name == "shop.example"
    assert await identity.list_domains(shop) == []
    assert await senders.list(shop) == []
    with pytest.raises(NotFoundError):
        await identity.remove_domain(shop, "shop.example")
    again = await identity.add_domain(shop, "shop.example", is_verified=True)
    assert again.verified_at is not None
    assert len(await ring.of_domain(shop, "shop.example")) == 2


async def test_of_a_proven_domain_only_what_is_empty_can_be_given_and_it_stays(identity: Identity, shop: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    given = await identity.change_domain(
        shop, "shop.example", {"stream": Stream.MARKETING, "return_path": "b.shop.example"}
    )
    assert (given.stream, given.return_path) == (Stream.MARKETING, "b.shop.example")
    for changes, field in (
        ({"stream": Stream.TRANSACTIONAL}, "stream"),
        ({"stream": None}, "stream"),
        ({"return_path": ""}, "return_path"),
        ({"return_path": "c.shop.example"}, "return_path"),
    ):
        with pytest.raises(ConflictError) as caught:
            await identity.change_domain(shop, "shop.example", changes)
        assert caught.value.field == field
    with pytest.raises(ConflictError) as caught:
        await identity.remove_domain(shop, "shop.example")
    assert caught.value.field == "domain"
    assert await identity.domain(shop, "shop.example") == given


async def test_a_domain_takes_its_own_kind_of_mail_and_none_while_it_is_stopped(
    store: Store, identity: Identity, shop: UUID, other: UUID, clock: FakeClock
) -> None:
    domain = await identity.add_domain(shop, "shop.example", is_verified=True, stream=Stream.TRANSACTIONAL)
    await identity.check(shop, "shop.example", Stream.TRANSACTIONAL)
    with pytest.raises(CallerError) as caught:
        await identity.check(shop, "shop.example", Stream.MARKETING)
    assert (caught.value.field, "transactional mail only" in caught.value.public) == ("stream", True)
    await identity.check(other, "shop.example", Stream.MARKETING)  # Not its domain: its senders say no.
    stopped = Standing(state=RecordState.FAILED, checked_at=clock.now(), stopped_at=clock.now(), is_proven=True)
    async with store.transaction() as tx:
        await domains.stand(tx, shop, domain.domain_id, stopped, check_due_at=clock.now())
    clock.advance(module.FRESH_S)
    with pytest.raises(ForbiddenError) as forbidden:
        await identity.check(shop, "shop.example", Stream.TRANSACTIONAL)
    assert forbidden.value.field == "sender"
    assert "outrider domain show shop.example" in forbidden.value.public
    mended = msgspec.structs.replace(stopped, state=RecordState.PASSED, stopped_at=None)
    async with store.transaction() as tx:
        await domains.stand(tx, shop, domain.domain_id, mended, check_due_at=clock.now())
    await identity.check(shop, "shop.example", Stream.TRANSACTIONAL)  # At once: it is not refused from memory.


async def test_optional_records_are_changed_before_and_after_a_domain_is_proven(
    identity: Identity, shop: UUID, other: UUID
) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=False)
    logo, certificate = "https://shop.example/logo.svg", "https://shop.example/logo.pem"
    changed = await identity.change_domain(shop, "Shop.example", {"mta_sts": MtaSts.TESTING, "bimi_logo": logo})
    assert (changed.mta_sts, changed.bimi_logo, changed.bimi_certificate) == (MtaSts.TESTING, logo, "")
    await identity.add_domain(shop, "shop.example", is_verified=True)
    proven = await identity.change_domain(
        shop, "shop.example", {"mta_sts": MtaSts.ENFORCE, "bimi_certificate": certificate}
    )
    assert (proven.mta_sts, proven.bimi_logo, proven.bimi_certificate) == (MtaSts.ENFORCE, logo, certificate)
    assert await identity.change_domain(shop, "shop.example", {}) == proven
    with pytest.raises(NotFoundError):
        await identity.change_domain(other, "shop.example", {"mta_sts": MtaSts.OFF})
    bare = await identity.change_domain(
        shop, "shop.example", {"mta_sts": MtaSts.OFF, "bimi_logo": "", "bimi_certificate": ""}
    )
    assert (bare.mta_sts, bare.bimi_logo, bare.bimi_certificate) == (MtaSts.OFF, "", "")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bimi_logo": "http://shop.example/logo.svg"}, "bimi_logo"),
        ({"bimi_logo": "https://shop.example/logo.svg", "bimi_certificate": "logo.pem"}, "bimi_certificate"),
        ({"bimi_certificate": "https://shop.example/logo.pem"}, "bimi_certificate"),
        ({"mta_sts": MtaSts.TESTING}, "mta_sts"),
    ],
)
async def test_what_no_record_can_say_is_refused(
    identity: Identity, shop: UUID, changes: dict[str, object], field: str
) -> None:
    """MTA-STS is about a return path, and on the operator's word there is none."""
    kept = await identity.add_domain(shop, "shop.example", is_verified=True)
    with pytest.raises(CallerError) as caught:
        await identity.change_domain(shop, "shop.example", changes)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert await identity.domain(shop, "shop.example") == kept
