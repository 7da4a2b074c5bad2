"""Identity: keys sealed at rest, records that verify, senders that may send only while their domain is proven."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outrider.base.errors import CallerError, ConflictError, NotFoundError, StoreCorruptError
from outrider.mail import address, dkim
from outrider.mail.dkim import SigningKey
from outrider.services import identity as module
from outrider.services.identity import BounceDomain, DnsRecord, Gateway, Identity
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import WAIT_S, Mailroom, wait_blocked
from tests.unit.mail.keys import sign

pytestmark = pytest.mark.newest

NEWS = address.parse("news@shop.example")
MASTER_KEY = bytes(range(32))
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def rsa_pem() -> bytes:
    """Give one RSA key for all tests that need a fresh one only in name: making one takes 0.1 s."""
    return module._new_rsa()


@pytest.fixture(autouse=True)
def _quick_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, rsa_pem: bytes) -> None:
    if "real_keys" not in request.fixturenames:
        monkeypatch.setattr(module, "_KEYS", module._KEYS | {dkim.RSA_SHA256: ("r", lambda: rsa_pem)})


@pytest.fixture
def real_keys() -> None:
    """Ask for keys of the test's own."""


def identity_of(
    store: Store, clock: FakeClock, master_key: bytes = MASTER_KEY, gateway: Gateway | None = None
) -> Identity:
    random_bits = random.SystemRandom().getrandbits
    return Identity(store, Vault(master_key), clock=clock, random_bits=random_bits, gateway=gateway or Gateway())


@pytest.fixture
def identity(store: Store, clock: FakeClock) -> Identity:
    return identity_of(store, clock)


@pytest.fixture
async def shop(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


@pytest.fixture
async def other(mailroom: Mailroom) -> UUID:
    return await mailroom.project("other")


def secrets_of(key: SigningKey) -> list[bytes]:
    """Return the private key in the forms in which it could lie about."""
    pem = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return [pem, der, b"PRIVATE KEY", der[-32:], pem.splitlines()[1]]


@pytest.mark.slow
async def test_a_domain_gets_two_keys_of_its_own_sealed(
    store: Store, identity: Identity, shop: UUID, real_keys: None
) -> None:
    for name in ("shop.example", "news.shop.example"):
        await identity.add_domain(shop, name, is_verified=True)
    keys = [*await identity.of_domain(shop, "shop.example"), *await identity.of_domain(shop, "news.shop.example")]
    assert [key.algorithm for key in keys] == ["rsa-sha256", "ed25519-sha256"] * 2
    assert [key.selector for key in keys] == ["o202601r", "o202601e"] * 2
    assert [getattr(key.private_key, "key_size", 0) for key in keys] == [2048, 0, 2048, 0]
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT k::text AS text, private_key_sealed FROM dkim_key k")
    assert len({row["private_key_sealed"] for row in rows}) == 4
    for secret in (secret for key in keys for secret in secrets_of(key)):
        for row in rows:
            assert secret not in row["private_key_sealed"]
            assert secret.hex() not in row["text"]
            assert secret.decode("latin-1") not in row["text"]


async def test_the_records_to_publish_belong_to_the_keys(identity: Identity, shop: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    keys = await identity.of_domain(shop, "shop.example")
    records = await identity.dns_records(shop, "Shop.Example")
    assert [(record.type, record.host, record.value) for record in records] == [
        *(("TXT", f"{key.selector}._domainkey.shop.example", dkim.public_record(key)) for key in keys),
        ("TXT", "_dmarc.shop.example", "v=DMARC1; p=none"),
    ]
    for key in keys:
        assert await identity.published_record("shop.example", key.selector) == dkim.public_record(key)


async def test_what_the_keys_sign_the_records_verify(identity: Identity, shop: UUID, clock: FakeClock) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    body = b"Hello\r\n"
    fields = [b"From: Shop <news@shop.example>\r\n", b"Subject: Hi\r\n"]
    keys = await identity.of_domain(shop, "shop.example")
    for key in keys:
        signed = sign(fields, body, [key], clock.now()) + b"".join(fields) + b"\r\n" + body
        record = await identity.published_record("shop.example", key.selector)
        assert record is not None
        name = f"{key.selector}._domainkey.shop.example.".encode()
        assert dkimpy.verify(signed, dnsfunc=answer(name, record))
        assert not dkimpy.verify(signed + b"!\r\n", dnsfunc=answer(name, record))


def answer(name: bytes, record: str) -> Callable[..., bytes | None]:
    """Return a resolver that knows one TXT record."""
    return lambda asked, timeout=5: record.encode() if asked == name else None


async def test_keys_sealed_under_another_master_key_do_not_open(
    store: Store, clock: FakeClock, identity: Identity, shop: UUID
) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    with pytest.raises(StoreCorruptError):
        await identity_of(store, clock, bytes(32)).of_domain(shop, "shop.example")


async def test_a_sealed_key_opens_in_its_place_only(
    store: Store, clock: FakeClock, identity: Identity, shop: UUID
) -> None:
    for name in ("shop.example", "evil.example"):
        await identity.add_domain(shop, name, is_verified=True)
    async with store.transaction() as tx:
        await tx.execute(
            "UPDATE dkim_key SET private_key_sealed = (SELECT private_key_sealed FROM dkim_key k JOIN domain d"
            " USING (domain_id) WHERE d.name = 'shop.example' AND k.selector = dkim_key.selector)"
        )
    assert len(await identity.of_domain(shop, "shop.example")) == 2
    with pytest.raises(StoreCorruptError):
        await identity.of_domain(shop, "evil.example")


async def test_adding_a_domain_twice_is_harmless(identity: Identity, shop: UUID) -> None:
    first = await identity.add_domain(shop, "shop.example", is_verified=False)
    assert first.verified_at is None
    assert await identity.add_domain(shop, "SHOP.example", is_verified=False) == first
    records = await identity.dns_records(shop, "shop.example")
    verified = await identity.add_domain(shop, "shop.example", is_verified=True)
    assert verified.verified_at is not None
    assert await identity.add_domain(shop, "shop.example", is_verified=False) == verified
    assert await identity.list_domains(shop) == [verified]
    assert await identity.dns_records(shop, "shop.example") == records


async def test_a_domain_two_add_at_the_same_moment_is_there_once(store: Store, identity: Identity, shop: UUID) -> None:
    results = await held_up(
        store,
        "domain",
        [identity.add_domain(shop, "shop.example", is_verified=is_verified) for is_verified in (True, True, False)],
    )
    (domain,) = await identity.list_domains(shop)
    assert domain.verified_at is not None
    assert {result.domain_id for result in results} == {domain.domain_id}
    assert len(await identity.of_domain(shop, "shop.example")) == 2


async def held_up(store: Store, table: str, calls: Sequence[Coroutine[None, None, Result]]) -> list[Result]:
    """Let all calls come as far as their first write to the table before the first may write."""
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group, store.transaction() as tx:
        await tx.execute(f"LOCK TABLE {table} IN SHARE MODE")
        running = [group.create_task(call) for call in calls]
        await wait_blocked(store, len(running))
    return [one.result() for one in running]


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


async def test_an_international_domain_is_kept_as_its_alabel(identity: Identity, shop: UUID) -> None:
    domain = await identity.add_domain(shop, "BÜCHER.example", is_verified=True)
    assert domain.name == "xn--bcher-kva.example"
    assert await identity.domain(shop, "bücher.example") == domain
    sender = await identity.add_sender(shop, "post@bücher.example", "Bücher")
    assert (sender.address, sender.domain) == ("post@xn--bcher-kva.example", domain.name)
    found = await identity.find(shop, address.parse("Post@BÜCHER.example"))
    assert found is not None
    assert found.name == "Bücher"
    assert [key.domain for key in await identity.of_domain(shop, domain.name)] == [domain.name] * 2


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


async def test_a_domain_is_its_projects_alone(identity: Identity, shop: UUID, other: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    assert await identity.list_domains(other) == []
    assert await identity.of_domain(other, "shop.example") == []
    for asked in (
        identity.domain(other, "shop.example"),
        identity.dns_records(other, "shop.example"),
        identity.add_sender(other, "news@shop.example", ""),
    ):
        with pytest.raises(NotFoundError):
            await asked


async def test_a_sender_may_send_while_its_domain_is_verified_and_it_is_enabled(
    store: Store, clock: FakeClock, identity: Identity, shop: UUID, other: UUID
) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=False)
    await identity.add_sender(shop, "News@shop.example", "Shop News")
    assert await identity.find(shop, NEWS) is None
    await identity.add_domain(shop, "shop.example", is_verified=True)
    clock.advance(0.999)  # Everybody knows within a second.
    found = await identity.find(shop, NEWS)
    assert found is not None
    assert (found.address.text, found.name) == ("News@shop.example", "Shop News")
    assert await identity.find(other, NEWS) is None
    assert await identity.find(shop, address.parse("sales@shop.example")) is None
    async with store.transaction() as tx:
        await tx.execute("UPDATE sender SET is_enabled = false")
    clock.advance(0.999)
    assert await identity.find(shop, NEWS) is None


async def test_adding_a_sender_twice_is_harmless(identity: Identity, shop: UUID, clock: FakeClock) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    first = await identity.add_sender(shop, "news@shop.example", "Shop")
    clock.advance(1)
    assert await identity.add_sender(shop, "NEWS@shop.example", "Other name") == first
    second = await identity.add_sender(shop, "sales@shop.example", "")
    assert await identity.list_senders(shop) == [first, second]
    assert (first.is_default, second.is_default) == (True, False)


async def test_senders_two_add_at_the_same_moment_are_there_once_and_one_is_the_default(
    store: Store, identity: Identity, shop: UUID
) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    texts = ["news@shop.example", "News@shop.example", "sales@shop.example"]
    results = await held_up(store, "sender", [identity.add_sender(shop, text, "Shop") for text in texts])
    listed = await identity.list_senders(shop)
    assert [sender.is_default for sender in listed].count(True) == 1
    assert len(listed) == 2
    assert all(result in listed for result in results)


async def test_a_sender_no_header_could_carry_is_refused(identity: Identity, shop: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    for text, name, field in (
        ("no at sign", "Shop", "address"),
        ("a@@shop.example", "Shop", "address"),
        ("news@shop.example", "line\r\nBcc: x@evil.example", "name"),
        ("news@shop.example", "nul\x00", "name"),
        ("news@shop.example", "half\ud800", "name"),
        ("news@shop.example", "\u202egnp", "name"),
        ("news@shop.example", "Bank <support@bank.example>", "name"),
    ):
        with pytest.raises(CallerError) as caught:
            await identity.add_sender(shop, text, name)
        assert caught.value.field == field
    assert await identity.list_senders(shop) == []


async def test_new_keys_are_used_everywhere_within_a_second(
    store: Store, clock: FakeClock, identity: Identity, shop: UUID
) -> None:
    elsewhere = identity_of(store, clock)
    assert await elsewhere.of_domain(shop, "shop.example") == []
    await identity.add_domain(shop, "shop.example", is_verified=True)
    clock.advance(0.999)
    assert len(await elsewhere.of_domain(shop, "shop.example")) == 2


async def test_a_key_is_opened_once(clock: FakeClock, identity: Identity, shop: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    before = await identity.of_domain(shop, "shop.example")
    clock.advance(timedelta(hours=1).total_seconds())
    after = await identity.of_domain(shop, "shop.example")
    assert [one is two for one, two in zip(before, after, strict=True)] == [True, True]


async def test_a_domain_may_sign_with_one_algorithm_alone(identity: Identity, shop: UUID) -> None:
    await identity.add_domain(shop, "rsa.example", is_verified=True, algorithms=["rsa-sha256"])
    assert [key.algorithm for key in await identity.of_domain(shop, "rsa.example")] == ["rsa-sha256"]
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
    assert (await identity.set_rate(shop, "Shop.Example", 60)).rate_per_minute == 60
    clock.advance(module.FRESH_S)
    assert await elsewhere.rate_of(shop, "shop.example") == 60
    assert await elsewhere.rate_of(other, "shop.example") is None
    assert await elsewhere.rate_of(shop, "none.example") is None
    assert (await identity.set_rate(shop, "shop.example", None)).rate_per_minute is None
    clock.advance(module.FRESH_S)
    assert await elsewhere.rate_of(shop, "shop.example") is None


@pytest.mark.parametrize("rate", [0, -1, 1_000_001, 10**30])
async def test_a_rate_out_of_bounds_names_its_field(identity: Identity, shop: UUID, rate: int) -> None:
    domain = await identity.add_domain(shop, "shop.example", is_verified=False)
    with pytest.raises(CallerError) as caught:
        await identity.set_rate(shop, "shop.example", rate)
    assert caught.value.field == "rate_per_minute"
    assert await identity.domain(shop, "shop.example") == domain


async def test_a_rate_is_set_on_ones_own_domain_only(identity: Identity, shop: UUID, other: UUID) -> None:
    await identity.add_domain(shop, "shop.example", is_verified=True)
    with pytest.raises(NotFoundError):
        await identity.set_rate(other, "shop.example", 60)
    with pytest.raises(CallerError):
        await identity.set_rate(shop, "no domain", 60)
    assert (await identity.domain(shop, "shop.example")).rate_per_minute is None


# Bounce domains.


def gateway_of(**changes: object) -> Gateway:
    usual = {"mx_host": "mx.us.example", "addresses": ["192.0.2.7", "2001:db8::7"]}
    return Gateway(**usual | changes)  # type: ignore[arg-type]


async def test_a_project_s_bounces_come_back_below_its_own_verified_domain(
    store: Store, clock: FakeClock, shop: UUID, other: UUID
) -> None:
    identity = identity_of(store, clock, gateway=gateway_of())
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


async def test_its_records_are_printed_with_those_of_the_domain_above_it(
    store: Store, clock: FakeClock, shop: UUID
) -> None:
    identity = identity_of(store, clock, gateway=gateway_of())
    await identity.add_domain(shop, "shop.example", is_verified=True)
    await identity.add_domain(shop, "news.example", is_verified=True)
    assert {record.type for record in await identity.dns_records(shop, "shop.example")} == {"TXT"}
    await identity.set_bounce_domain(shop, "bounces.shop.example")
    assert (await identity.dns_records(shop, "shop.example"))[-2:] == [
        DnsRecord("MX", "bounces.shop.example", "10 mx.us.example"),
        DnsRecord("TXT", "bounces.shop.example", "v=spf1 mx ip4:192.0.2.7 ip6:2001:db8::7 -all"),
    ]
    assert "MX" not in {record.type for record in await identity.dns_records(shop, "news.example")}


async def test_the_shared_one_is_of_those_who_have_none(store: Store, clock: FakeClock, shop: UUID) -> None:
    gateway = gateway_of(shared_domain="bounces.shop.example", mx_host="", addresses=(), is_relayed=True)
    identity = identity_of(store, clock, gateway=gateway)
    await identity.add_domain(shop, "shop.example", is_verified=True)
    assert await identity.bounce_domain(shop) == BounceDomain("bounces.shop.example", is_shared=True)
    mx, spf = (await identity.dns_records(shop, "shop.example"))[-2:]
    assert "OUTRIDER_NET__EHLO_NAME" in mx.value
    assert spf.value == "v=spf1 mx ~all"
