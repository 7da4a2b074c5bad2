"""Access: four ways to say who calls, each refused alike when it is over; rates and nonces over all processes."""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from uspeedo.core.auth import Credential

from outrider.base.errors import (
    CallerError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
    SignatureError,
    StoreUnavailableError,
    TimestampError,
    TokenInvalidError,
    TokenUnreadableError,
    UnauthenticatedError,
)
from outrider.base.vocab import KeyScope
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.access import KEY_FRESH_S, Access, Allowance, Caller, Credentials
from outrider.services.accounts import Accounts, KeyPair, KeyTerms
from outrider.store.pool import Store, Tx
from outrider.store.vault import Vault
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import running

pytestmark = pytest.mark.newest

VAULT = Vault(b"k" * 32)
BODY = {"Action": "SendEmail", "TargetEmailAddress": ["a@x.example", "b@x.example"], "Subject": "Grüße", "AccountId": 7}


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
def process(clock: FakeClock) -> Callable[..., Access]:
    """Give what makes the access of one more process."""

    def make(store: Store, rate_per_minute: int = 0) -> Access:
        return Access(
            store,
            VAULT,
            rate_per_minute=rate_per_minute,
            clock=clock,
            random_bits=random.SystemRandom().getrandbits,
            logger=make_logger(LogSettings(level="critical"), "test"),
        )

    return make


@pytest.fixture
async def access(counting: CountingStore, process: Callable[..., Access]) -> AsyncIterator[Access]:
    made = process(counting)
    async with running(made):
        yield made


@pytest.fixture
async def elsewhere(store: Store, process: Callable[..., Access]) -> AsyncIterator[Access]:
    """Give the access of another process."""
    made = process(store)
    async with running(made):
        yield made


@pytest.fixture
def accounts(store: Store, clock: FakeClock) -> Accounts:
    return Accounts(store, VAULT, clock=clock, random_bits=random.SystemRandom().getrandbits)


@pytest.fixture
async def project_id(accounts: Accounts) -> UUID:
    return (await accounts.ensure_project()).project_id


@pytest.fixture
async def pair(accounts: Accounts, project_id: UUID) -> KeyPair:
    return await accounts.create_key(project_id, "first")


def shown(pair: KeyPair, **other: Any) -> Credentials:
    return Credentials(access_key_id=pair.access_key_id, access_key_secret=pair.access_key_secret, **other)


def signed(pair: KeyPair, clock: FakeClock, nonce: str = "abc", **other: Any) -> Credentials:
    """Sign as uSpeedo's own client does."""
    signature = Credential(pair.access_key_id, pair.access_key_secret).verify_ac(BODY)
    given = {
        "access_key_id": pair.access_key_id,
        "signature": signature,
        "timestamp": str(int(clock.now().timestamp())),
        "nonce": nonce,
        "body": msgspec.json.encode(BODY),
    }
    return Credentials(**(given | other))


async def every_form(access: Access, pair: KeyPair, clock: FakeClock) -> Sequence[Credentials]:
    """Give the pair, a token of it, and a call signed with it."""
    caller = await access.authenticate(shown(pair))
    nonce = f"{random.getrandbits(64):016x}"
    return shown(pair), Credentials(token=access.issue_token(caller).token), signed(pair, clock, nonce)


async def test_the_right_pair_is_its_project(access: Access, accounts: Accounts, pair: KeyPair) -> None:
    other = await accounts.create_key((await accounts.ensure_project("other")).project_id, "second")
    for name, one in (("default", pair), ("other", other)):
        found = await access.authenticate(shown(one))
        assert found == Caller(project_id=(await accounts.project(name)).project_id, access_key_id=one.access_key_id)
    with pytest.raises(UnauthenticatedError):
        await access.authenticate(
            Credentials(access_key_id=pair.access_key_id, access_key_secret=other.access_key_secret)
        )
    with pytest.raises(UnauthenticatedError, match="shows no access key"):
        await access.authenticate(Credentials())


GARBAGE = ["", "x", "\x00", "é" * 32, "٣" * 32, "0" * 32, "A" * 32, "\ud800", "0" * 31 + "\x00", "f" * 10_000_000]


async def test_whatever_is_wrong_the_answer_is_the_same(access: Access, pair: KeyPair) -> None:
    key_id, secret = pair.access_key_id, pair.access_key_secret
    wrong = [(key_id.upper() + "A", secret), (key_id, secret + "A"), (key_id, secret[:-1]), (secret, key_id)]
    for garbage in GARBAGE:
        wrong += [(garbage, secret), (key_id, garbage), (garbage, garbage)]
    answers = set()
    for wrong_id, wrong_secret in wrong:
        with pytest.raises(UnauthenticatedError) as caught:
            await access.authenticate(Credentials(access_key_id=wrong_id, access_key_secret=wrong_secret))
        answers.add((caught.value.public, caught.value.field, str(caught.value.detail)))
    assert len(answers) == 1
    await access.authenticate(shown(pair))


async def test_secrets_are_compared_in_constant_time(
    access: Access, pair: KeyPair, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form ends in one comparison of two values of one length."""
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr("hmac.compare_digest", compare)
    good = await every_form(access, pair, clock)
    unknown = [msgspec.structs.replace(one, access_key_id="0" * 32) for one in (good[0], good[2])]
    wrong = [
        msgspec.structs.replace(good[0], access_key_secret="x" * 48),
        msgspec.structs.replace(good[2], signature="0" * 40),
        Credentials(token=(good[1].token or "")[:-4] + "AAAA"),
    ]
    compared.clear()
    for one in (*unknown, *wrong):
        with pytest.raises(UnauthenticatedError):
            await access.authenticate(one)
    # But for a signed call of no key: an id is no secret, and signing megabytes for strangers costs us.
    assert compared == [(32, 32), (32, 32), (40, 40), (32, 32)]


async def test_what_cannot_be_a_key_costs_no_query(access: Access, counting: CountingStore) -> None:
    before = counting.transaction_count
    for garbage in ("x", "é" * 32, "\x00" * 32, "f" * 33):
        with pytest.raises(UnauthenticatedError):
            await access.authenticate(Credentials(access_key_id=garbage, access_key_secret="secret"))
    for garbage in ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."):
        with pytest.raises(UnauthenticatedError):
            await access.authenticate(Credentials(token=garbage))
    assert counting.transaction_count == before


async def test_one_query_for_all_calls_of_a_while(
    process: Callable[..., Access], counting: CountingStore, clock: FakeClock, pair: KeyPair
) -> None:
    access = process(counting)  # Not running, so that nothing but these calls asks.
    for _ in range(3):
        callers = await asyncio.gather(*(access.authenticate(shown(pair)) for _ in range(50)))
        for caller in callers:
            access.spend(caller)
    assert counting.transaction_count == 1
    clock.advance(0.5)
    await access.authenticate(shown(pair))
    assert counting.transaction_count == 2


@pytest.mark.parametrize("delay_s", [0.0, 0.25, 0.5])
async def test_a_revoked_key_stops_working_everywhere_within_a_second(
    access: Access, elsewhere: Access, accounts: Accounts, clock: FakeClock, pair: KeyPair, delay_s: float
) -> None:
    forms = await every_form(access, pair, clock)
    caller = await elsewhere.authenticate(shown(pair))
    clock.advance(delay_s)
    await accounts.revoke_key(caller.project_id, pair.access_key_id)
    clock.advance(0.999)
    for one in (access, elsewhere):
        for form in forms:
            with pytest.raises(UnauthenticatedError):
                await one.authenticate(form)


async def test_an_expired_key_stops_at_its_instant_in_every_form(
    access: Access, elsewhere: Access, accounts: Accounts, project_id: UUID, clock: FakeClock
) -> None:
    terms = KeyTerms(expires_at=clock.now() + timedelta(seconds=10))
    pair = await accounts.create_key(project_id, "short", terms)
    clock.advance(9.999)
    forms = await every_form(access, pair, clock)
    for form in forms[:2]:
        await elsewhere.authenticate(form)
    clock.advance(0.001)
    for one in (access, elsewhere):
        for form, kind in zip(forms, (UnauthenticatedError, TokenInvalidError, UnauthenticatedError), strict=True):
            with pytest.raises(kind, match="expired"):
                await one.authenticate(form)


async def test_changed_terms_count_everywhere_within_a_second(
    access: Access, elsewhere: Access, accounts: Accounts, project_id: UUID, clock: FakeClock, pair: KeyPair
) -> None:
    forms = (await every_form(access, pair, clock))[:2]
    for one in (access, elsewhere):
        for form in forms:
            (await one.authenticate(form)).require(KeyScope.MANAGE)
    terms = {"scopes": frozenset({KeyScope.READ}), "domains": ("shop.example",), "rate_per_minute": 3}
    await accounts.change_key(project_id, pair.access_key_id, terms)
    clock.advance(0.999)
    for one in (access, elsewhere):
        for form in forms:
            caller = await one.authenticate(form)
            assert (caller.domains, caller.rate_per_minute) == ({"shop.example"}, 3)
            caller.require(KeyScope.READ)
            for scope in (KeyScope.SEND, KeyScope.MANAGE):
                with pytest.raises(ForbiddenError, match=f"'{scope}'"):
                    caller.require(scope)


@pytest.mark.parametrize(
    ("client", "is_let_in"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("2001:db8::9", True),
        ("192.0.3.7", False),
        ("2001:db9::9", False),
        ("", False),
        ("192.0.2.7, 192.0.2.8", False),
        ("\x00", False),
        ("192.0.2.7\r\n", False),
    ],
)
async def test_a_key_is_used_from_its_addresses_alone(
    access: Access, accounts: Accounts, project_id: UUID, client: str, is_let_in: bool
) -> None:
    terms = KeyTerms(ip_ranges=("192.0.2.0/24", "2001:db8::/32"))
    pair = await accounts.create_key(project_id, "here", terms)
    token = access.issue_token(await access.authenticate(shown(pair, client="192.0.2.1"))).token
    for form in (shown(pair, client=client), Credentials(token=token, client=client)):
        if is_let_in:
            await access.authenticate(form)
            continue
        with pytest.raises(ForbiddenError):
            await access.authenticate(form)
    with pytest.raises(UnauthenticatedError) as caught:  # Who has not the secret is not told that there are ranges.
        await access.authenticate(Credentials(access_key_id=pair.access_key_id, access_key_secret="x", client=client))
    assert not isinstance(caught.value, ForbiddenError)


async def test_a_token_stands_for_its_key_for_its_time(access: Access, clock: FakeClock, pair: KeyPair) -> None:
    caller = await access.authenticate(shown(pair))
    made = access.issue_token(caller, life_s=60, scopes=frozenset({KeyScope.SEND}))
    assert made.token not in repr(made)
    assert made.expires_at == clock.now() + timedelta(seconds=60)
    clock.advance(59.999)
    found = await access.authenticate(Credentials(token=made.token))
    assert found == msgspec.structs.replace(caller, scopes=frozenset({KeyScope.SEND}), is_token=True)
    clock.advance(0.001)
    with pytest.raises(TokenInvalidError, match="over"):
        await access.authenticate(Credentials(token=made.token))


async def test_a_token_cannot_make_more_of_itself(access: Access, accounts: Accounts, project_id: UUID) -> None:
    pair = await accounts.create_key(project_id, "read", KeyTerms(scopes=frozenset({KeyScope.READ})))
    caller = await access.authenticate(shown(pair))
    by_token = await access.authenticate(Credentials(token=access.issue_token(caller).token))
    with pytest.raises(ForbiddenError, match="cannot make another"):
        access.issue_token(by_token)
    with pytest.raises(ForbiddenError, match="more than its key"):
        access.issue_token(caller, scopes=frozenset({KeyScope.SEND}))
    for life_s in (59.9, 0, -1, 30 * 86400 + 1, float("inf"), float("nan")):
        with pytest.raises(CallerError) as caught:
            access.issue_token(caller, life_s=life_s)
        assert caught.value.field == "life_s"
    with pytest.raises(CallerError) as caught:
        access.issue_token(caller, scopes=frozenset())
    assert caught.value.field == "scopes"


async def test_a_token_of_another_installation_is_none_here(
    access: Access, store: Store, clock: FakeClock, pair: KeyPair
) -> None:
    other = Access(
        store,
        Vault(b"o" * 32),
        rate_per_minute=0,
        clock=clock,
        random_bits=random.getrandbits,
        logger=make_logger(LogSettings(), "test"),
    )
    foreign = other.issue_token(await other.authenticate(shown(pair))).token
    with pytest.raises(TokenInvalidError):
        await access.authenticate(Credentials(token=foreign))
    with pytest.raises(TokenUnreadableError):
        await access.authenticate(Credentials(token="eyJ"))


async def test_the_command_line_finds_the_caller_of_a_key(
    access: Access, accounts: Accounts, project_id: UUID, pair: KeyPair
) -> None:
    assert await access.caller_of(project_id, pair.access_key_id) == await access.authenticate(shown(pair))
    other = (await accounts.ensure_project("other")).project_id
    for whose, key_id in ((other, pair.access_key_id), (project_id, "0" * 32), (project_id, "\x00")):
        with pytest.raises(NotFoundError):
            await access.caller_of(whose, key_id)


async def test_a_signed_call_is_its_key(access: Access, clock: FakeClock, pair: KeyPair, project_id: UUID) -> None:
    caller = await access.authenticate(signed(pair, clock))
    assert caller == Caller(project_id=project_id, access_key_id=pair.access_key_id)
    assert await access.authenticate(signed(pair, clock, "upper", signature=signed(pair, clock).signature.upper()))  # type: ignore[union-attr]
    empty = hashlib.sha1(pair.access_key_secret.encode(), usedforsecurity=False).hexdigest()
    assert await access.authenticate(signed(pair, clock, "empty", body=b"", signature=empty))


async def test_php_names_key_and_signature_in_the_body(access: Access, clock: FakeClock, pair: KeyPair) -> None:
    plain = signed(pair, clock)
    body = BODY | {"PublicKey": pair.access_key_id, "Signature": plain.signature}
    assert await access.authenticate(msgspec.structs.replace(plain, body=msgspec.json.encode(body)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"signature": "0" * 40},
        {"signature": ""},
        {"signature": "\ud800"},
        {"signature": "x" * 1_000_000},
        {"body": b"{}"},
        {"body": msgspec.json.encode(BODY | {"Subject": "Other"})},
        {"access_key_id": "0" * 32},
        {"access_key_id": "\x00"},
    ],
)
async def test_a_wrong_signature_is_refused_and_leaves_no_trace(
    access: Access, store: Store, clock: FakeClock, pair: KeyPair, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SignatureError) as caught:
        await access.authenticate(signed(pair, clock, **wrong))
    assert caught.value.ret_code == 215394
    async with store.transaction() as tx:
        assert await tx.fetch("SELECT FROM nonce") == []
    await access.authenticate(signed(pair, clock))


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"1", b"[" * 100_000, b'{"a":' * 100_000])
async def test_a_signed_call_needs_an_object(access: Access, clock: FakeClock, pair: KeyPair, body: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        await access.authenticate(signed(pair, clock, body=body))
    assert caught.value.field == "Body"


@pytest.mark.parametrize(("skew_s", "is_let_in"), [(-300, True), (300, True), (-301, False), (301, False), (0, True)])
async def test_a_signed_call_counts_five_minutes_before_and_after(
    access: Access, clock: FakeClock, pair: KeyPair, skew_s: int, is_let_in: bool
) -> None:
    made_at = str(int(clock.now().timestamp()) + skew_s)
    if is_let_in:
        await access.authenticate(signed(pair, clock, timestamp=made_at))
        clock.advance(0.6 if skew_s <= 0 else 600.1)  # A moment later -300 is too old; and so is, in time, every other.
    if skew_s == 0:
        return
    with pytest.raises(TimestampError) as caught:
        await access.authenticate(signed(pair, clock, "another", timestamp=made_at))
    assert caught.value.ret_code == 215395


@pytest.mark.parametrize("made_at", ["", "now", "1e9", " 1", "-1", "9" * 5000, "253402300800", "1767225600.0", "٣"])
async def test_a_timestamp_that_is_none_is_refused(
    access: Access, clock: FakeClock, pair: KeyPair, made_at: str
) -> None:
    with pytest.raises(TimestampError):
        await access.authenticate(signed(pair, clock, timestamp=made_at))


@pytest.mark.parametrize("nonce", ["", "x" * 33, "a b\x00", "é", "\r\n"])
async def test_a_nonce_that_is_none_is_refused(access: Access, clock: FakeClock, pair: KeyPair, nonce: str) -> None:
    with pytest.raises(SignatureError, match="X-Nonce"):
        await access.authenticate(signed(pair, clock, nonce))


async def test_a_nonce_counts_once_over_processes_and_restarts(
    access: Access,
    elsewhere: Access,
    store: Store,
    process: Callable[..., Access],
    accounts: Accounts,
    project_id: UUID,
    clock: FakeClock,
    pair: KeyPair,
) -> None:
    call = signed(pair, clock)
    both = (access, elsewhere)
    results = await asyncio.gather(*(one.authenticate(call) for one in both * 20), return_exceptions=True)
    assert sum(isinstance(result, Caller) for result in results) == 1
    assert all(isinstance(result, Caller | SignatureError) for result in results)
    clock.advance(299)
    restarted = process(store)
    async with running(restarted):
        for one in (access, elsewhere, restarted):
            with pytest.raises(SignatureError, match="used before"):
                await one.authenticate(call)
        other = await accounts.create_key(project_id, "other")
        await restarted.authenticate(signed(other, clock))  # The same nonce, of another key.


async def test_a_key_that_allows_no_signed_calls_is_good_for_all_else(
    access: Access, accounts: Accounts, clock: FakeClock, pair: KeyPair, project_id: UUID
) -> None:
    await access.authenticate(signed(pair, clock, "first"))
    await accounts.change_key(project_id, pair.access_key_id, {"allow_signed": False})
    clock.advance(KEY_FRESH_S)
    for asked in (access.authenticate(signed(pair, clock)), access.screen(signed(pair, clock))):
        with pytest.raises(SignatureError, match="allows no signed calls"):
            await asked
    await access.authenticate(shown(pair))


async def test_a_signed_call_that_cannot_count_is_refused_without_its_body(
    access: Access, clock: FakeClock, pair: KeyPair
) -> None:
    call = signed(pair, clock, body=b"", signature="0" * 40)
    for one in (call, Credentials(timestamp=call.timestamp)):  # PHP says the rest in the body.
        await access.screen(one)
        with pytest.raises(TimestampError):
            await access.screen(msgspec.structs.replace(one, timestamp="1"))
    with pytest.raises(SignatureError):
        await access.screen(msgspec.structs.replace(call, access_key_id="0" * 32))


async def test_a_key_has_its_rate_and_hears_what_is_left(
    access: Access, accounts: Accounts, project_id: UUID, clock: FakeClock
) -> None:
    clock.advance(15.25)
    caller = await access.authenticate(
        shown(await accounts.create_key(project_id, "slow", KeyTerms(rate_per_minute=3)))
    )
    assert [access.spend(caller) for _ in range(3)] == [Allowance(3, left, 44.75) for left in (2, 1, 0)]
    for _ in range(2):
        with pytest.raises(LimitReachedError) as caught:
            access.spend(caller)
        assert caught.value.retry_after_s == 44.75
    clock.advance(44.75)
    assert access.spend(caller) == Allowance(3, 2, 60.0)


async def test_a_key_without_a_rate_has_the_settings(
    store: Store, process: Callable[..., Access], accounts: Accounts, project_id: UUID, pair: KeyPair
) -> None:
    bounded, free = process(store, rate_per_minute=1), process(store)
    caller = await free.authenticate(shown(pair))
    assert {free.spend(caller) for _ in range(1000)} == {Allowance(0, 0, 0.0)}
    caller = await bounded.authenticate(shown(pair))
    bounded.spend(caller)
    with pytest.raises(LimitReachedError):
        bounded.spend(caller)
    unbounded = await accounts.create_key(project_id, "free", KeyTerms(rate_per_minute=0))
    caller = await bounded.authenticate(shown(unbounded))
    assert {bounded.spend(caller) for _ in range(1000)} == {Allowance(0, 0, 0.0)}


async def test_a_rate_holds_for_all_processes_within_a_second(
    store: Store, process: Callable[..., Access], accounts: Accounts, project_id: UUID, clock: FakeClock
) -> None:
    pair = await accounts.create_key(project_id, "shared", KeyTerms(rate_per_minute=100))
    processes = [process(store) for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        for one in processes:
            await stack.enter_async_context(running(one))
        callers = [await one.authenticate(shown(pair)) for one in processes]
        passed = 0
        for _ in range(12):  # Each process makes ten calls between two flushes.
            for one, caller in zip(processes, callers, strict=True):
                for _ in range(10):
                    with contextlib.suppress(LimitReachedError):
                        one.spend(caller)
                        passed += 1
            await flushed(clock, store, 4)
        assert 100 <= passed <= 200  # Each may pass it by what comes in between two flushes, and no more.
        for one, caller in zip(processes, callers, strict=True):
            with pytest.raises(LimitReachedError):
                one.spend(caller)


async def test_a_process_that_had_no_calls_knows_what_the_others_counted(
    access: Access, elsewhere: Access, store: Store, accounts: Accounts, project_id: UUID, clock: FakeClock
) -> None:
    """One has had a call before the others counted, one none at all: neither lets one pass a second later."""
    pair = await accounts.create_key(project_id, "shared", KeyTerms(rate_per_minute=5))
    early = await elsewhere.authenticate(shown(pair))
    elsewhere.spend(early)
    await flushed(clock, store, 2)
    busy = await access.authenticate(shown(pair))
    for _ in range(4):
        access.spend(busy)
    await flushed(clock, store, 2)
    clock.advance(0.2)
    caller = await elsewhere.authenticate(shown(pair))
    with pytest.raises(LimitReachedError):
        elsewhere.spend(caller)


async def flushed(clock: FakeClock, store: Store, process_count: int = 1) -> None:
    """Let so many processes write and read once more, and wait until all sleep again."""
    clock.advance(0.3)
    for _ in range(5_000):
        if clock.sleeper_count == process_count:
            return
        assert await store.is_ready()
    raise AssertionError("they are still busy")


async def test_use_is_written_down(
    access: Access, accounts: Accounts, store: Store, project_id: UUID, clock: FakeClock, pair: KeyPair
) -> None:
    idle = await accounts.create_key(project_id, "idle")
    for _ in range(3):
        await access.authenticate(shown(pair))
        await flushed(clock, store)
    first = (await accounts.key(project_id, pair.access_key_id)).last_used_at
    assert first is not None
    assert clock.now() - first < timedelta(seconds=1)
    for _ in range(5):
        clock.advance(10)
        await access.authenticate(shown(pair))
        await flushed(clock, store)
    later = (await accounts.key(project_id, pair.access_key_id)).last_used_at
    assert later is not None
    assert timedelta(seconds=30) < later - first
    assert (await accounts.key(project_id, idle.access_key_id)).last_used_at is None


async def test_when_nobody_can_tell_it_says_so_and_goes_on_counting(
    access: Access, counting: CountingStore, store: Store, accounts: Accounts, project_id: UUID, clock: FakeClock
) -> None:
    pair = await accounts.create_key(project_id, "rated", KeyTerms(rate_per_minute=5))
    caller = await access.authenticate(shown(pair))
    counting.is_away = True
    access.spend(caller)
    clock.advance(0.6)
    with pytest.raises(StoreUnavailableError):
        await access.authenticate(shown(pair))
    with pytest.raises(StoreUnavailableError):
        await access.authenticate(signed(pair, clock))
    await flushed(clock, store)
    assert access.spend(caller).remaining == 3
    counting.is_away = False
    await flushed(clock, store)
    async with store.transaction() as tx:
        assert [row["calls"] for row in await tx.fetch("SELECT calls FROM key_use")] == [2]
    await access.authenticate(shown(pair))
