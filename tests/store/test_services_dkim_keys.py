"""The key ring: sealed at rest, published before they sign, and one always signs."""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from outrider.base.errors import CallerError, ConflictError, NotFoundError, StoreCorruptError
from outrider.base.vocab import EventKind, KeyState
from outrider.engine.upkeep import ensure_partitions
from outrider.mail import dkim
from outrider.mail.dkim import SigningKey
from outrider.services import dkim_keys as module
from outrider.services.dkim_keys import KeyEntry, KeyRing
from outrider.services.identity import Identity
from outrider.services.settings import IdentitySettings
from outrider.store import events, notices
from outrider.store.events import Cursor
from outrider.store.pool import Store
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom
from tests.unit.mail.keys import pem_of, sign

pytestmark = pytest.mark.newest

MASTER_KEY = bytes(range(32))
ZONE = "dkim.op.example"
WEEK_S = 7 * 86_400.0
SHOP = "shop.example"
W, S, R, X = KeyState.WAITING, KeyState.SIGNING, KeyState.RETIRING, KeyState.RETIRED


@pytest.fixture(autouse=True)
def _quick_keys(request: pytest.FixtureRequest) -> None:
    if "real_keys" not in request.fixturenames:
        request.getfixturevalue("quick_keys")


@pytest.fixture
def real_keys() -> None:
    """Ask for keys of the test's own."""


def ring_of(store: Store, clock: FakeClock, master_key: bytes = MASTER_KEY, **settings: float | str) -> KeyRing:
    identity = IdentitySettings(**{"dkim_zone": ZONE} | settings)  # type: ignore[arg-type]
    return KeyRing(store, Vault(master_key), identity, clock=clock, random_bits=random.SystemRandom().getrandbits)


@pytest.fixture
def ring(store: Store, clock: FakeClock) -> KeyRing:
    return ring_of(store, clock)


@pytest.fixture
def identity(store: Store, ring: KeyRing, clock: FakeClock) -> Identity:
    rows = itertools.count()
    return Identity(store, ring, clock=clock, random_bits=lambda _: next(rows) << 16)  # The mark of all is 0000.


@pytest.fixture
async def project(mailroom: Mailroom) -> UUID:
    return await mailroom.project("shop")


@pytest.fixture
async def shop(identity: Identity, project: UUID) -> UUID:
    """Give a project with a verified domain, `SHOP`."""
    await identity.add_domain(project, SHOP, is_verified=True)
    return project


@pytest.fixture
async def other(mailroom: Mailroom) -> UUID:
    return await mailroom.project("other")


async def saw(ring: KeyRing, project_id: UUID, name: str, selector: str, is_published: bool) -> None:
    """Say what DNS has for the key that has that selector now; of none it is somebody else's record."""
    known = {one.selector: one.record for one in await ring.entries(project_id, name)} if name == SHOP else {}
    await ring.saw(project_id, name, selector, is_published, record=known.get(selector, "v=DKIM1; p=AAAA"))


def states(entries: Sequence[KeyEntry]) -> dict[str, KeyState | None]:
    return {entry.selector: entry.state for entry in entries}


async def selectors(ring: KeyRing, clock: FakeClock, project_id: UUID, name: str = SHOP) -> list[str]:
    """Return who signs, as every process knows a moment later."""
    clock.advance(module.FRESH_S)
    return [key.selector for key in await ring.of_domain(project_id, name)]


def secrets_of(key: SigningKey) -> list[bytes]:
    """Return the private key in the forms in which it could lie about."""
    pem = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return [pem, der, b"PRIVATE KEY", der[-32:], pem.splitlines()[1]]


# At rest.


@pytest.mark.slow
async def test_a_domain_gets_two_keys_of_its_own_sealed(
    store: Store, ring: KeyRing, identity: Identity, project: UUID, real_keys: None
) -> None:
    for name in ("shop.example", "news.shop.example"):
        await identity.add_domain(project, name, is_verified=True)
    keys = [*await ring.of_domain(project, "shop.example"), *await ring.of_domain(project, "news.shop.example")]
    assert [key.algorithm for key in keys] == ["rsa-sha256", "ed25519-sha256"] * 2
    assert [key.selector for key in keys] == ["o202601r-0000", "o202601e-0000"] * 2
    assert [getattr(key.private_key, "key_size", 0) for key in keys] == [2048, 0, 2048, 0]
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT k::text AS text, private_key_sealed FROM dkim_key k")
    assert len({row["private_key_sealed"] for row in rows}) == 4
    for secret in (secret for key in keys for secret in secrets_of(key)):
        for row in rows:
            assert secret not in row["private_key_sealed"]
            assert secret.hex() not in row["text"]
            assert secret.decode("latin-1") not in row["text"]


async def test_what_the_keys_sign_the_records_verify(ring: KeyRing, shop: UUID, clock: FakeClock) -> None:
    body = b"Hello\r\n"
    fields = [b"From: Shop <news@shop.example>\r\n", b"Subject: Hi\r\n"]
    for key in await ring.of_domain(shop, SHOP):
        signed = sign(fields, body, [key], clock.now()) + b"".join(fields) + b"\r\n" + body
        record = await ring.published_record(SHOP, key.selector)
        assert record is not None
        name = f"{key.selector}._domainkey.shop.example.".encode()
        assert dkimpy.verify(signed, dnsfunc=answer(name, record))
        assert not dkimpy.verify(signed + b"!\r\n", dnsfunc=answer(name, record))


def answer(name: bytes, record: str) -> Callable[..., bytes | None]:
    """Return a resolver that knows one TXT record."""
    return lambda asked, timeout=5: record.encode() if asked == name else None


async def test_keys_sealed_under_another_master_key_do_not_open(store: Store, clock: FakeClock, shop: UUID) -> None:
    with pytest.raises(StoreCorruptError):
        await ring_of(store, clock, bytes(32)).of_domain(shop, SHOP)


async def test_a_sealed_key_opens_in_its_place_only(
    store: Store, ring: KeyRing, identity: Identity, shop: UUID
) -> None:
    await identity.add_domain(shop, "evil.example", is_verified=True)
    async with store.transaction() as tx:
        await tx.execute(
            "UPDATE dkim_key SET private_key_sealed = (SELECT private_key_sealed FROM dkim_key k JOIN domain d"
            " USING (domain_id) WHERE d.name = 'shop.example' AND k.selector = dkim_key.selector)"
        )
    assert len(await ring.of_domain(shop, SHOP)) == 2
    with pytest.raises(StoreCorruptError):
        await ring.of_domain(shop, "evil.example")


async def test_new_keys_are_used_everywhere_within_a_second(
    store: Store, clock: FakeClock, identity: Identity, project: UUID
) -> None:
    elsewhere = ring_of(store, clock)
    assert await elsewhere.of_domain(project, SHOP) == []
    await identity.add_domain(project, SHOP, is_verified=True)
    clock.advance(0.999)
    assert len(await elsewhere.of_domain(project, SHOP)) == 2


async def test_a_key_is_opened_once(clock: FakeClock, ring: KeyRing, shop: UUID) -> None:
    before = await ring.of_domain(shop, SHOP)
    clock.advance(timedelta(hours=1).total_seconds())
    after = await ring.of_domain(shop, SHOP)
    assert [one is two for one, two in zip(before, after, strict=True)] == [True, True]


# First keys.


async def test_keys_of_a_domain_nobody_has_proven_wait_to_be_seen(
    ring: KeyRing, identity: Identity, clock: FakeClock, project: UUID
) -> None:
    await identity.add_domain(project, SHOP, is_verified=False)
    assert states(await ring.entries(project, SHOP)) == {"o202601r-0000": W, "o202601e-0000": W}
    assert await selectors(ring, clock, project) == []
    await saw(ring, project, SHOP, "o202601e-0000", False)
    await saw(ring, project, SHOP, "o202601r-0000", True)
    assert await selectors(ring, clock, project) == ["o202601r-0000"], "the other is not published yet"
    await saw(ring, project, SHOP, "o202601e-0000", True)
    assert await selectors(ring, clock, project) == ["o202601r-0000", "o202601e-0000"]


async def test_the_operators_word_lets_them_sign_at_once(
    ring: KeyRing, identity: Identity, clock: FakeClock, project: UUID
) -> None:
    await identity.add_domain(project, SHOP, is_verified=False)
    await identity.add_domain(project, SHOP, is_verified=True)
    assert await selectors(ring, clock, project) == ["o202601r-0000", "o202601e-0000"]


# Rotation.


async def test_new_keys_sign_when_they_are_seen_and_the_old_ones_records_stay_a_week(
    ring: KeyRing, clock: FakeClock, shop: UUID
) -> None:
    new = await ring.rotate(shop, "Shop.Example")
    assert states(new) == {"o202601r2-0000": W, "o202601e2-0000": W}
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "o202601e-0000"]
    assert [entry.is_needed for entry in await ring.entries(shop, SHOP)] == [True] * 4
    await saw(ring, shop, SHOP, "o202601r2-0000", True)
    assert await selectors(ring, clock, shop) == ["o202601r2-0000", "o202601e-0000"]
    await saw(ring, shop, SHOP, "o202601e2-0000", True)
    assert await selectors(ring, clock, shop) == ["o202601r2-0000", "o202601e2-0000"]
    clock.advance(WEEK_S - 2)
    assert (await ring.tend()).count == 0
    assert states(await ring.entries(shop, SHOP))["o202601r-0000"] is R
    clock.advance(2)
    assert (await ring.tend()).count == 1
    assert (await ring.tend()).count == 0
    entries = await ring.entries(shop, SHOP)
    assert states(entries) == {"o202601r-0000": X, "o202601r2-0000": S, "o202601e-0000": X, "o202601e2-0000": S}
    assert [entry.selector for entry in entries if not entry.is_needed] == ["o202601r-0000", "o202601e-0000"]
    assert await selectors(ring, clock, shop) == ["o202601r2-0000", "o202601e2-0000"]


async def test_rotating_twice_and_at_once_makes_one_set(
    ring: KeyRing, store: Store, clock: FakeClock, shop: UUID
) -> None:
    made = await asyncio.gather(*(ring_of(store, clock).rotate(shop, SHOP) for _ in range(4)))
    assert {tuple(states(one)) for one in made} == {("o202601r2-0000", "o202601e2-0000")}
    assert len(await ring.entries(shop, SHOP)) == 4


async def test_a_rotation_may_renew_one_algorithm_and_take_somebodys_word(
    ring: KeyRing, clock: FakeClock, shop: UUID
) -> None:
    new = await ring.rotate(shop, SHOP, algorithms=["rsa-sha256"], is_published=True)
    assert states(new) == {"o202601r2-0000": S}
    assert await selectors(ring, clock, shop) == ["o202601r2-0000", "o202601e-0000"]


async def test_a_rotation_renews_what_the_domain_signs_with(
    ring: KeyRing, identity: Identity, clock: FakeClock, project: UUID
) -> None:
    await identity.add_domain(project, SHOP, is_verified=True, algorithms=["ed25519-sha256"])
    assert states(await ring.rotate(project, SHOP)) == {"o202601e2-0000": W}


async def test_a_lost_record_brings_the_last_key_back(ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    for selector in ("o202601r-0000", "o202601e-0000"):
        await saw(ring, shop, SHOP, selector, True)
    await ring.rotate(shop, SHOP, algorithms=["rsa-sha256"])
    await saw(ring, shop, SHOP, "o202601r2-0000", True)
    assert await selectors(ring, clock, shop) == ["o202601r2-0000", "o202601e-0000"]
    await saw(ring, shop, SHOP, "o202601r2-0000", False)
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "o202601e-0000"]
    await saw(ring, shop, SHOP, "o202601r-0000", False)
    assert await selectors(ring, clock, shop) == ["o202601e-0000"]
    await saw(ring, shop, SHOP, "o202601e-0000", False)
    assert await selectors(ring, clock, shop) == ["o202601e-0000"], "nothing better is left"


async def test_what_others_say_of_a_domain_changes_nothing(
    ring: KeyRing, identity: Identity, clock: FakeClock, shop: UUID, other: UUID
) -> None:
    await ring.rotate(shop, SHOP)
    record = next(one.record for one in await ring.entries(shop, SHOP) if one.selector == "o202601r2-0000")
    for project_id, name, selector in (
        (other, SHOP, "o202601r2-0000"),
        (shop, "none.example", "o202601r2-0000"),
        (shop, SHOP, "none"),
    ):
        await ring.saw(project_id, name, selector, True, record=record)
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "o202601e-0000"]
    await identity.add_domain(other, SHOP, is_verified=False)
    await saw(ring, other, SHOP, "o202601r-0000", True)
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "o202601e-0000"]
    for call in (ring.rotate(other, "none.example"), ring.entries(other, "none.example")):
        with pytest.raises(NotFoundError):
            await call


@pytest.mark.parametrize("algorithms", [["rsa-sha1"], ["rsa-sha256", "x"]])
async def test_an_unknown_algorithm_is_refused(ring: KeyRing, shop: UUID, algorithms: list[str]) -> None:
    with pytest.raises(CallerError) as caught:
        await ring.rotate(shop, SHOP, algorithms=algorithms)
    assert caught.value.field == "algorithms"


async def test_many_rotations_in_a_month_have_a_name_each(ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    for number in range(2, 12):
        (new,) = await ring.rotate(shop, SHOP, algorithms=["ed25519-sha256"], is_published=True)
        assert new.selector == f"o202601e{number}-0000"
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "o202601e11-0000"]


# Names.


async def test_a_domain_may_name_its_keys(ring: KeyRing, shop: UUID, other: UUID) -> None:
    await ring.set_prefix(shop, SHOP, "mail-")
    assert states(await ring.rotate(shop, SHOP)) == {"mail-202601r-0000": W, "mail-202601e-0000": W}
    for prefix in ("-a", "A", "a.b", "a" * 21, "\x00", "ü", "a\n"):
        with pytest.raises(CallerError) as caught:
            await ring.set_prefix(shop, SHOP, prefix)
        assert caught.value.field == "prefix"
    with pytest.raises(NotFoundError):
        await ring.set_prefix(other, SHOP, "x")


# A key of one's own.


def own_rsa(bits: int) -> bytes:
    return pem_of(rsa.generate_private_key(public_exponent=65537, key_size=bits))


async def test_a_key_of_ones_own_waits_in_the_place_of_ours(
    ring: KeyRing, identity: Identity, clock: FakeClock, project: UUID
) -> None:
    await identity.add_domain(project, SHOP, is_verified=False)
    pem = pem_of(ed25519.Ed25519PrivateKey.generate())
    for _ in range(2):
        brought = await ring.bring(project, SHOP, "Mine", pem)
        assert (brought.entry.selector, brought.entry.state, brought.warning) == ("mine", W, "")
    entries = await ring.entries(project, SHOP)
    assert {entry.selector: entry.is_own for entry in entries} == {"o202601r-0000": False, "mine": True}
    assert entries[1].record == dkim.public_record(dkim.load_key(SHOP, "mine", pem))
    await saw(ring, project, SHOP, "mine", True)
    assert await selectors(ring, clock, project) == ["mine"]


async def test_a_key_of_ones_own_takes_over_when_it_is_seen(ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    brought = await ring.bring(shop, SHOP, "s1.mail", own_rsa(1024))
    assert "1024 bits is weak" in brought.warning
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "o202601e-0000"]
    await saw(ring, shop, SHOP, "s1.mail", True)
    assert await selectors(ring, clock, shop) == ["s1.mail", "o202601e-0000"]
    assert (await ring.bring(shop, SHOP, "s2", own_rsa(2048), is_published=True)).warning == ""
    assert await selectors(ring, clock, shop) == ["s2", "o202601e-0000"]


async def test_nothing_gives_way_to_a_key_of_ones_own_that_was_brought_or_has_signed(ring: KeyRing, shop: UUID) -> None:
    await ring.rotate(shop, SHOP, algorithms=["rsa-sha256"], is_published=True)
    for selector in ("o202601r-0000", "o202601r2-0000"):
        await saw(ring, shop, SHOP, selector, False)
    before = states(await ring.entries(shop, SHOP))
    for selector in ("own1", "own2"):
        await ring.bring(shop, SHOP, selector, own_rsa(2048))
    assert states(await ring.entries(shop, SHOP)) == before | {"own1": W, "own2": W}


@pytest.mark.slow
async def test_a_key_that_cannot_sign_is_refused(ring: KeyRing, shop: UUID, other: UUID) -> None:
    good = ed25519.Ed25519PrivateKey.generate()
    curve = ec.generate_private_key(ec.SECP256R1())
    encrypted = good.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    odd = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem in (b"", b"\x00", b"x" * 100_000, encrypted, odd, SMALL_RSA, own_rsa(4104)):
        with pytest.raises(CallerError) as caught:
            await ring.bring(shop, SHOP, "s1", pem)
        assert caught.value.field == "key"
    for selector in ("", ".", "-a", "a b", "a\r\n", "a\x00", "ü", "a" * 64, ".".join(["a" * 60] * 5)):
        with pytest.raises(CallerError) as caught:
            await ring.bring(shop, SHOP, selector, pem_of(good))
        assert caught.value.field == "selector"
    with pytest.raises(NotFoundError):
        await ring.bring(other, SHOP, "s1", pem_of(good))
    with pytest.raises(ConflictError) as conflict:
        await ring.bring(shop, SHOP, "o202601e-0000", pem_of(good))
    assert conflict.value.field == "selector"
    assert len(await ring.entries(shop, SHOP)) == 2


# cryptography makes none so short; made with OpenSSL for this test, 768 bits.
SMALL_RSA = (Path(__file__).parents[1] / "data" / "rsa_768.pem").read_bytes()


# Taking away.


async def test_a_key_is_taken_away_but_never_the_last(ring: KeyRing, clock: FakeClock, shop: UUID, other: UUID) -> None:
    await ring.rotate(shop, SHOP, algorithms=["rsa-sha256"])
    await ring.take_away(shop, SHOP, "o202601r2-0000")
    assert states(await ring.entries(shop, SHOP)) == {"o202601r-0000": S, "o202601e-0000": S}
    await ring.take_away(shop, SHOP, "o202601e-0000")
    assert await selectors(ring, clock, shop) == ["o202601r-0000"]
    for selector, error in (("o202601r-0000", CallerError), ("o202601e-0000", CallerError), ("none", NotFoundError)):
        with pytest.raises(error) as caught:
            await ring.take_away(shop, SHOP, selector)
        assert caught.value.field == "selector"
    with pytest.raises(NotFoundError):
        await ring.take_away(other, SHOP, "o202601r-0000")
    clock.advance(WEEK_S)
    await ring.tend()
    await ring.take_away(shop, SHOP, "o202601e-0000")
    assert states(await ring.entries(shop, SHOP)) == {"o202601r-0000": S}


async def test_a_retired_key_is_erased(store: Store, ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    await ring.rotate(shop, SHOP, is_published=True)
    clock.advance(WEEK_S)
    await ring.tend()
    async with store.transaction() as tx:
        rows = await tx.fetch("SELECT private_key_sealed AS sealed FROM dkim_key WHERE state = 'retired'")
    assert [row["sealed"] for row in rows] == [b"", b""]
    assert await ring.published_record(SHOP, "o202601r-0000"), "mail of then can still be checked"


# Delegation.


async def test_delegated_keys_take_turns_on_names_that_are_published_once(
    ring: KeyRing, clock: FakeClock, shop: UUID
) -> None:
    new = await ring.delegate(shop, SHOP, is_delegated=True)
    assert states(new) == {"or1": W, "oe1": W}
    cnames = {one.host: one.target for one in await ring.entries(shop, SHOP) if one.target}
    assert sorted(cnames) == [f"{name}._domainkey.shop.example" for name in ("oe1", "oe2", "or1", "or2")]
    await let_sign(ring, clock, shop, "or1", "oe1")
    assert {line.name: line.domain for line in await ring.zone()} == {
        cnames[f"{name}._domainkey.shop.example"].removesuffix(f".{ZONE}"): SHOP for name in ("or1", "oe1")
    }
    for names in (("or2", "oe2"), ("or1", "oe1"), ("or2", "oe2")):
        assert tuple(states(await ring.rotate(shop, SHOP))) == names
        await let_sign(ring, clock, shop, *names)
        assert {one.host: one.target for one in await ring.entries(shop, SHOP) if one.target} == cnames
        with pytest.raises(CallerError) as caught:
            await ring.rotate(shop, SHOP)
        assert caught.value.field == "domain"
        clock.advance(WEEK_S)
        await ring.tend()


async def let_sign(ring: KeyRing, clock: FakeClock, project_id: UUID, *names: str) -> None:
    """Let DNS have the keys, and see that they wait until nobody remembers what was there before."""
    for name in names:
        await saw(ring, project_id, SHOP, name, True)
    before = await selectors(ring, clock, project_id)
    assert set(before).isdisjoint(names)
    clock.advance(module.ZONE_WAIT.total_seconds())
    await ring.tend()
    assert await selectors(ring, clock, project_id) == list(names)


async def test_a_domain_may_publish_its_keys_itself_again(ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    await ring.delegate(shop, SHOP, is_delegated=True)
    assert await ring.delegate(shop, SHOP, is_delegated=False) == []
    assert states(await ring.entries(shop, SHOP)) == {"o202601r-0000": S, "o202601e-0000": S}
    await ring.delegate(shop, SHOP, is_delegated=True)
    await let_sign(ring, clock, shop, "or1", "oe1")
    assert states(await ring.delegate(shop, SHOP, is_delegated=False)) == {"o202601r2-0000": W, "o202601e2-0000": W}
    assert await selectors(ring, clock, shop) == ["or1", "oe1"]


async def test_projects_that_claim_one_name_have_names_of_their_own_in_the_zone(
    ring: KeyRing, identity: Identity, shop: UUID, other: UUID
) -> None:
    await identity.add_domain(other, SHOP, is_verified=False)
    for project_id in (shop, other):
        await ring.delegate(project_id, SHOP, is_delegated=True)
    assert len({line.name for line in await ring.zone()}) == 4


async def test_without_a_zone_nothing_is_delegated(store: Store, clock: FakeClock, shop: UUID) -> None:
    bare = ring_of(store, clock, dkim_zone="")
    for call in (bare.delegate(shop, SHOP, is_delegated=True), bare.zone()):
        with pytest.raises(CallerError, match=r"\[identity\] dkim_zone"):
            await call


# The worker.


@pytest.mark.parametrize("is_delegated", [True, False])
async def test_keys_are_renewed_by_themselves_where_the_operator_says_so(
    store: Store, clock: FakeClock, shop: UUID, is_delegated: bool
) -> None:
    setting = "rotate_delegated_every_s" if is_delegated else "rotate_txt_every_s"
    ring = ring_of(store, clock, **{setting: 30 * 86_400.0})
    names = ("o202601r-0000", "o202601e-0000")
    if is_delegated:
        names = ("or1", "oe1")
        await ring.delegate(shop, SHOP, is_delegated=True)
        await let_sign(ring, clock, shop, *names)
    clock.advance(29 * 86_400.0)
    await ring.tend()
    assert W not in states(await ring.entries(shop, SHOP)).values()
    clock.advance(86_400.0)
    await ensure_partitions(store, clock)
    assert (await ring.tend()).count == 1
    waiting = [one.selector for one in await ring.entries(shop, SHOP) if one.state is W]
    assert waiting == (["or2", "oe2"] if is_delegated else ["o202601r2-0000", "o202601e2-0000"])
    assert (await ring.tend()).count == 0
    assert await selectors(ring, clock, shop) == list(names)
    async with store.transaction() as tx:
        told = await notices.of_project(tx, shop, with_seen=True, count_max=10)
        happened = await events.after(tx, Cursor(), count_max=10)
    # The operator's zone is the operator's to publish: the project has nothing to do.
    assert [(one.kind, one.subject) for one in told] == (
        [] if is_delegated else [(EventKind.KEYS_RENEWED, f"New DKIM keys of {SHOP} wait to be published")]
    )
    assert [dict(one.facts) for one in happened if one.kind is EventKind.KEYS_RENEWED] == (
        [] if is_delegated else [{"domain": SHOP, "selectors": "o202601e2-0000, o202601r2-0000"}]
    )
    assert all(f"TXT at {name}._domainkey.{SHOP}" in one.text for one in told for name in waiting)


async def test_nobody_is_told_of_a_rotation_that_somebody_asked_for(store: Store, ring: KeyRing, shop: UUID) -> None:
    await ring.rotate(shop, SHOP)
    async with store.transaction() as tx:
        assert await notices.of_project(tx, shop, with_seen=True, count_max=10) == []


async def test_a_look_that_was_for_another_key_under_the_selector_says_nothing_of_this_one(
    ring: KeyRing, clock: FakeClock, shop: UUID
) -> None:
    """A look is in flight while the key goes and another comes: it must not sign for what nobody has published."""
    first = Brought(ring, shop)
    looked_for = await first.bring()
    await ring.take_away(shop, SHOP, "mine")
    await Brought(ring, shop).bring()
    await ring.saw(shop, SHOP, "mine", True, record=looked_for)
    assert states(await ring.entries(shop, SHOP))["mine"] is W
    assert "mine" not in await selectors(ring, clock, shop)
    await saw(ring, shop, SHOP, "mine", True)
    assert "mine" in await selectors(ring, clock, shop)


class Brought:
    """A key of one's own under the selector `mine`."""

    def __init__(self, ring: KeyRing, project_id: UUID) -> None:
        self._ring = ring
        self._project_id = project_id

    async def bring(self) -> str:
        """Bring it; return its record."""
        pem = pem_of(ed25519.Ed25519PrivateKey.generate())
        return (await self._ring.bring(self._project_id, SHOP, "mine", pem)).entry.record


async def test_a_key_of_ones_own_is_never_renewed_by_itself(store: Store, clock: FakeClock, shop: UUID) -> None:
    ring = ring_of(store, clock, rotate_txt_every_s=86_400.0)
    await ring.bring(shop, SHOP, "mine", pem_of(ed25519.Ed25519PrivateKey.generate()), is_published=True)
    clock.advance(30 * 86_400.0)
    await ring.tend()
    assert W not in states(await ring.entries(shop, SHOP)).values()


async def test_a_round_goes_on_past_a_domain_that_gets_no_keys(
    store: Store, clock: FakeClock, identity: Identity, shop: UUID
) -> None:
    settings = IdentitySettings(rotate_txt_every_s=86_400.0)
    ring = Unlucky(store, Vault(MASTER_KEY), settings, clock=clock, random_bits=random.SystemRandom().getrandbits)
    await identity.add_domain(shop, "z.example", is_verified=True)
    clock.advance(86_400.0)
    found = await ring.tend()
    assert (found.count, list(found.failures)) == (1, [SHOP])
    assert W in states(await ring.entries(shop, "z.example")).values()


class Unlucky(KeyRing):
    """A ring that has no name for one domain's keys."""

    async def renew(self, project_id: UUID, name: str) -> None:
        """Refuse `SHOP`."""
        if name == SHOP:
            raise CallerError("Both names are in use.", field="domain")
        await super().renew(project_id, name)


async def test_a_key_of_ones_own_on_one_of_our_names_is_gone_round(ring: KeyRing, shop: UUID) -> None:
    await ring.bring(shop, SHOP, "or1", pem_of(ed25519.Ed25519PrivateKey.generate()), is_published=True)
    assert tuple(states(await ring.delegate(shop, SHOP, is_delegated=True))) == ("or2",)
    with pytest.raises(ConflictError):
        await ring.bring(shop, SHOP, "or2", pem_of(ed25519.Ed25519PrivateKey.generate()))


async def test_delegation_leaves_a_key_of_ones_own_alone(ring: KeyRing, clock: FakeClock, shop: UUID) -> None:
    pem = pem_of(ed25519.Ed25519PrivateKey.generate())
    await ring.bring(shop, SHOP, "mine", pem)
    await ring.delegate(shop, SHOP, is_delegated=True)
    assert states(await ring.entries(shop, SHOP))["mine"] is W
    await saw(ring, shop, SHOP, "mine", True)
    assert tuple(states(await ring.delegate(shop, SHOP, is_delegated=True))) == ("or1",)
    assert await selectors(ring, clock, shop) == ["o202601r-0000", "mine"]
