"""Who is calling, and may it: from what a call shows of itself to its `Caller`, and how much of its rate is left.

    Credentials --authenticate--> Caller --spend--> Allowance
                 one of three forms       one call of its rate

| a call shows | it is |
|---|---|
| a key pair | HTTP Basic, or `Bearer ID.SECRET` |
| an access token | `X-AccessToken`, or `Bearer TOKEN`: of a key, for a while (`issue_token`) |
| a signature | uSpeedo's signed calls (`wire.body_signature`): within five minutes, each nonce once |

Every process asks again after `KEY_FRESH_S`, so a key that is revoked, expired or changed counts as such everywhere
within a second, whatever form it is used in. Secrets and signatures are compared in a time that does not depend on
them.

Rates are kept by the minute of the clock, by all processes together: each counts for itself, and while there are calls
it writes its counts and reads the others' every `_FLUSH_S`; one that has had no calls for a while reads them with the
key. So a limit may be passed by what comes in within a second, and by nothing more. No call waits for a count. A nonce,
however, must be on disk before its call counts: that form costs a commit, shared by concurrent calls.

Failure policy: without the database nobody new is let in (`StoreUnavailableError`); counts are kept and written later.
"""

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import digits, limits, networks
from outrider.base.clock import Clock
from outrider.base.errors import (
    CallerError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
    SignatureError,
    TimestampError,
    TokenInvalidError,
    UnauthenticatedError,
)
from outrider.base.networks import Network
from outrider.base.vocab import KeyScope
from outrider.engine.service import Outage, Rounds
from outrider.obs.log import Logger
from outrider.store import key_use, keys, nonces
from outrider.store.batch import GroupCommit
from outrider.store.key_use import KeyUse
from outrider.store.keys import ApiKey
from outrider.store.nonces import Nonce
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.vault import Vault, secret_context
from outrider.wire import body_signature, jwt

KEY_FRESH_S: Final = 0.5  # Revocation holds within 1 s (issue 2); half of it leaves room for a slow query.
_FLUSH_S: Final = 0.3  # A rate holds everywhere within 1 s (issue 6); this leaves room for a slow commit.
_WINDOW_S: Final = 60
_USED_EVERY: Final = timedelta(seconds=10)  # How exact `last_used_at` is.
_ID_CHARS: Final = 32
_NO_HASH: Final = bytes(32)
ADVICE: Final = "Send `Authorization: Bearer ACCESSKEY_ID.ACCESSKEY_SECRET`, or Basic with the same pair."
_PURPOSE: Final = "access token 1"
_WRONG_SIGNATURE: Final = (
    "The signature is not what this key makes of the body. A key that allows no signed calls, or is older than them,"
    " cannot sign any."
)


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a call shows of itself, in one of three forms; a face fills in what came, as it came.

    A face makes it with `faces.api.credentials.read`. Where `needs_body` is true it asks `Access.screen`, reads the
    body before it asks who is calling, and hands it over with `faces.api.credentials.with_body`.
    """

    access_key_id: str = ""  # "": none was shown, or a token says it.
    access_key_secret: str | None = None
    token: str | None = None
    signature: str | None = None  # Lower-case hex.
    timestamp: str = ""  # Of a signed call: Unix seconds.
    nonce: str = ""
    body: bytes = b""  # Of a signed call: the JSON that was signed.
    client: str = ""  # The address that calls, as far as it can be trusted; "" if nobody knows.

    @property
    def needs_body(self) -> bool:
        """Whether this looks like a signed call: its body was signed, and may say with which key.

        What shows nothing at all does not: nobody reads megabytes for strangers.
        """
        is_known = self.access_key_secret is not None or self.token is not None
        return not is_known and (self.signature is not None or self.timestamp != "")

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, ***)"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling, and what its key lets it do."""

    project_id: UUID
    access_key_id: str
    scopes: frozenset[KeyScope] = frozenset(KeyScope)
    domains: frozenset[str] = frozenset()  # It may send from these alone (lower-case A-labels); empty: from all.
    rate_per_minute: int = 0  # Calls; 0: as many as it likes.
    is_token: bool = False  # It came with an access token, which cannot make another.

    def require(self, scope: KeyScope) -> None:
        """Raise ForbiddenError if the key may not do what takes `scope`."""
        if scope not in self.scopes:
            raise ForbiddenError(f"This key lacks the scope {scope.value!r}.", scope=scope.value)


class Allowance(msgspec.Struct, frozen=True):
    """What is left of a key's rate after this call: for the headers RateLimit and RateLimit-Policy."""

    limit: int  # Calls in a window of 60 s; 0: there is no limit, and nothing to say.
    remaining: int
    reset_s: float  # Until the window ends and `limit` is there again.


class Token(msgspec.Struct, frozen=True):
    """A new access token, to be shown once."""

    token: str
    expires_at: datetime
    scopes: frozenset[KeyScope]

    def __repr__(self) -> str:
        return f"Token(***, {self.expires_at!r})"


class _Known(msgspec.Struct):
    """A key as it was read a moment ago, with what each call would otherwise have to make of it."""

    key: ApiKey
    caller: Caller
    networks: Sequence[Network]
    is_mark_due: bool  # Nobody has written down lately that it is in use.


class _Count(msgspec.Struct):
    """The calls of one key in one minute."""

    minute: int  # Since 1970.
    ours: int = 0
    others: int = 0  # Of the other processes, as last read.
    written: int = 0  # Of `ours`.


_UNLIMITED: Final = Allowance(0, 0, 0.0)


class Access:
    """Tells who calls, and counts. Runs its commits while `run` runs; without it no signed call gets an answer.

    `rate_per_minute` is for keys that have none of their own, 0: no limit. `random_bits(n)` must be a cryptographic
    source.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        *,
        rate_per_minute: int,
        clock: Clock,
        random_bits: Callable[[int], int],
        logger: Logger,
    ) -> None:
        self._store: Final = store
        self._vault: Final = vault
        self._rate_per_minute: Final = rate_per_minute
        self._clock: Final = clock
        self._outage: Final = Outage(logger, "key_use_delayed")
        self._writer: Final = f"{random_bits(64):016x}"
        self._token_keys: Sequence[bytes] = vault.derive(_PURPOSE)  # The one that mints first.
        self._keys: Final = Recent[str, _Known | None](self._read_key, clock=clock, fresh_s=KEY_FRESH_S)
        self._counts: Final[dict[str, _Count]] = {}
        self._used: Final[set[tuple[UUID, str]]] = set()  # Keys whose use is to be written down.
        self._rounds: Final = Rounds(_FLUSH_S, clock=clock)
        self._nonces: Final = GroupCommit[Nonce, bool](self._take, clock=clock, wait_s=0.0, weight_max=1000)

    async def run(self) -> None:
        """Write nonces and counts, until `stop`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nonces.run())
            group.create_task(self._flush_until_stopped())

    def stop(self) -> None:
        """Take no more signed calls and write what was counted."""
        self._nonces.stop()
        self._rounds.stop()

    async def screen(self, shown: Credentials) -> None:
        """Refuse, before its body is read, a signed call that cannot count whatever its body is.

        Raises:
            TimestampError: it was made at another time, or does not say when.
            SignatureError: it names a key that is none, or that allows no signed calls.
            StoreUnavailableError: nobody can tell now.
        """
        self._check_made_at(shown)
        if shown.access_key_id:  # Else the body says it.
            await self._find_signer(shown.access_key_id)

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Return who shows these credentials.

        Raises:
            UnauthenticatedError: none, unknown, revoked, expired or another secret. Its subclasses SignatureError,
                TimestampError, TokenUnreadableError and TokenInvalidError for those forms. Who has not shown the right
                secret is not told which it was.
            ForbiddenError: the right secret, from an address that the key may not be used from.
            CallerError: field "Body": a signed call without a JSON object.
            StoreUnavailableError: nobody can tell now.

        Cost: no round trip for a key that was asked for within `KEY_FRESH_S`; a commit for each signed call.
        """
        if credentials.access_key_secret is not None:
            known, caller = await self._by_secret(credentials.access_key_id, credentials.access_key_secret)
        elif credentials.token is not None:
            known, caller = await self._by_token(credentials.token)
        elif credentials.signature is not None:
            known, caller = await self._by_signature(credentials)
        else:
            raise UnauthenticatedError(f"The call shows no access key. {ADVICE}")
        return self._admit(known, caller, credentials.client)

    async def trust(self, access_key_id: str, client: str) -> Caller:
        """Return the caller that the key would make for whoever calls from `client`, its secret unseen.

        For networks that an operator has bound to a key; the key's own terms hold.

        Raises:
            UnauthenticatedError: there is no such key, or it is over.
            ForbiddenError: the key may not be used from that address.
            StoreUnavailableError: nobody can tell now.
        """
        known = await self._find(access_key_id)
        if known is None:
            raise UnauthenticatedError("The access key is not valid.")
        self._check_current(known.key)
        return self._admit(known, known.caller, client)

    def spend(self, caller: Caller) -> Allowance:
        """Count one call of the key.

        Raises:
            LimitReachedError: the key has had its calls of this minute; this one is not counted.
        """
        limit = caller.rate_per_minute
        if not limit:
            return _UNLIMITED
        now_s = self._clock.now().timestamp()
        minute = int(now_s // _WINDOW_S)
        count = self._count_of(caller.access_key_id, minute)
        reset_s = (minute + 1) * _WINDOW_S - now_s
        left = limit - count.ours - count.others
        if left <= 0:
            raise LimitReachedError(
                f"This key may make {limit} calls a minute; there are more in {reset_s:.0f} s.",
                retry_after_s=reset_s,
                limit=limit,
            )
        count.ours += 1
        return Allowance(limit, left - 1, reset_s)

    async def caller_of(self, project_id: UUID, access_key_id: str) -> Caller:
        """Return the caller that the project's key would make.

        Raises:
            NotFoundError: the project has no such key.
            UnauthenticatedError: the key is over.
        """
        known = await self._find(access_key_id)
        if known is None or known.key.project_id != project_id:
            raise NotFoundError(f"The project has no key {access_key_id!r}.", field="access_key_id")
        self._check_current(known.key)
        return known.caller

    def issue_token(
        self, caller: Caller, *, life_s: float = limits.TOKEN_LIFE_S, scopes: frozenset[KeyScope] | None = None
    ) -> Token:
        """Return a token that stands for the caller's key for `life_s` seconds.

        It ends before that with its key, everywhere within a second. It may do what its key may then; no more than
        `scopes`, if they are given. Its calls count towards the key's rate.

        Raises:
            CallerError: fields "life_s", "scopes": out of bounds, or none.
            ForbiddenError: a token cannot make another, nor one that may do more than its key.
        """
        if caller.is_token:
            raise ForbiddenError("An access token cannot make another; use the key pair.")
        if not limits.TOKEN_LIFE_S_MIN <= life_s <= limits.TOKEN_LIFE_S_MAX:
            days = limits.TOKEN_LIFE_S_MAX / 86400
            raise CallerError(f"A token lives {limits.TOKEN_LIFE_S_MIN:.0f} s to {days:.0f} days.", field="life_s")
        if scopes is not None and not scopes:
            raise CallerError("A token has at least one scope.", field="scopes")
        if scopes is not None and not scopes <= caller.scopes:
            raise ForbiddenError("A token may not do more than its key.", field="scopes")
        now_s = int(self._clock.now().timestamp())
        expires_at_s = now_s + int(life_s)
        scope = "" if scopes is None else " ".join(sorted(scopes))
        self._look_for_keys()
        token = jwt.mint(jwt.Claims(caller.access_key_id, now_s, expires_at_s, scope), self._token_keys[0])
        return Token(token, datetime.fromtimestamp(expires_at_s, UTC), caller.scopes if scopes is None else scopes)

    def _admit(self, known: _Known, caller: Caller, client: str) -> Caller:
        """Return the caller if it comes from where its key may be used. Raises ForbiddenError."""
        if known.networks and not networks.contain(known.networks, client):
            raise ForbiddenError("This key may not be used from your address.", client=client)
        if known.is_mark_due:
            known.is_mark_due = False
            self._used.add((known.key.project_id, known.key.access_key_id))
        return caller

    async def _by_secret(self, access_key_id: str, secret: str) -> tuple[_Known, Caller]:
        known = await self._find(access_key_id)
        hashed = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        is_right = hmac.compare_digest(hashed, known.key.secret_hash if known else _NO_HASH)
        if known is None or not is_right:
            raise UnauthenticatedError("The access key is not valid.")
        self._check_current(known.key)
        return known, known.caller

    def _look_for_keys(self) -> bool:
        """Use the master keys of now; tell whether they are others, whoever else has looked into the vault."""
        self._vault.refresh()
        keys = self._vault.derive(_PURPOSE)
        is_changed = list(keys) != list(self._token_keys)
        self._token_keys = keys
        return is_changed

    def _read_token(self, token: str) -> jwt.Claims:
        """Read it with any master key of ours; where none fits, one that came since is looked for, at a stat's cost."""
        try:
            return _read_with(self._token_keys, token)
        except TokenInvalidError:
            if not self._look_for_keys():
                raise
        return _read_with(self._token_keys, token)

    async def _by_token(self, token: str) -> tuple[_Known, Caller]:
        claims = self._read_token(token)
        if claims.expires_at_s <= self._clock.now().timestamp():
            raise TokenInvalidError("The access token is over; ask for another.")
        known = await self._find(claims.access_key_id)
        if known is None:
            raise TokenInvalidError("The access token's key is gone.")
        try:
            self._check_current(known.key)
        except UnauthenticatedError as error:
            raise TokenInvalidError(f"The access token's key is over: {error.public}") from error
        scopes = known.caller.scopes
        if claims.scope:
            scopes &= {KeyScope(word) for word in claims.scope.split(" ")}
        return known, msgspec.structs.replace(known.caller, scopes=scopes, is_token=True)

    async def _by_signature(self, shown: Credentials) -> tuple[_Known, Caller]:
        """Timestamp, signature, nonce, in this order: what is not signed by the key leaves no trace."""
        made_at = self._check_made_at(shown)
        known, secret = await self._find_signer(shown.access_key_id)
        right = body_signature.sign(body_signature.read(shown.body), secret)
        given = (shown.signature or "").lower().encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(right.encode(), given):
            raise SignatureError(_WRONG_SIGNATURE)
        self._check_current(known.key)
        if not _is_nonce(shown.nonce):
            most = limits.NONCE_CHARS_MAX
            raise SignatureError(f"X-Nonce must hold 1 to {most} visible ASCII characters, others with each call.")
        if not await self._nonces.submit(Nonce(shown.access_key_id, shown.nonce, made_at)):
            raise SignatureError("This nonce was used before; each call needs another.")
        return known, known.caller

    def _check_made_at(self, shown: Credentials) -> datetime:
        """Return when the signed call was made. Raises TimestampError."""
        made_at_s = digits.parse(shown.timestamp, most=limits.UNIX_S_MAX)
        if made_at_s is None or abs(self._clock.now().timestamp() - made_at_s) > limits.SIGNED_CALL_S_MAX:
            what = "X-Timestamp must hold Unix seconds" if made_at_s is None else "The call was made at another time"
            raise TimestampError(f"{what}: not more than {limits.SIGNED_CALL_S_MAX / 60:.0f} minutes from our clock.")
        return datetime.fromtimestamp(made_at_s, UTC)

    async def _find_signer(self, access_key_id: str) -> tuple[_Known, str]:
        """Return the key and its secret. Raises SignatureError: there is no such key, or none that signs.

        So strangers do not have megabytes read for nothing; an id is no secret and cannot be guessed.
        """
        known = await self._find(access_key_id)
        if known is None or known.key.secret_sealed is None:
            raise SignatureError(_WRONG_SIGNATURE)
        return known, self._vault.open(known.key.secret_sealed, secret_context(access_key_id)).decode()

    def _check_current(self, key: ApiKey) -> None:
        """Raise UnauthenticatedError if the key is over. Only who has shown its secret gets to hear that."""
        if key.revoked_at is not None:
            raise UnauthenticatedError("The access key was revoked.")
        if key.terms.expires_at is not None and key.terms.expires_at <= self._clock.now():
            raise UnauthenticatedError("The access key has expired.")

    async def _find(self, access_key_id: str) -> _Known | None:
        is_shaped = len(access_key_id) == _ID_CHARS and access_key_id.isascii() and access_key_id.isalnum()
        return await self._keys.get(access_key_id) if is_shaped else None

    async def _read_key(self, access_key_id: str) -> _Known | None:
        others = 0
        minute = self._minute()
        async with self._store.transaction() as tx:
            key = await keys.by_id(tx, access_key_id)
            if key is not None and self._rate_of(key):
                asked = (access_key_id, _begin(minute))
                others = (await key_use.of_others(tx, [asked], writer=self._writer)).get(asked, 0)
        if key is None:
            return None
        terms = key.terms
        if others:
            count = self._count_of(access_key_id, minute)
            count.others = max(count.others, others)
        caller = Caller(
            project_id=key.project_id,
            access_key_id=key.access_key_id,
            scopes=terms.scopes,
            domains=frozenset(terms.domains),
            rate_per_minute=self._rate_of(key),
        )
        used_at = key.last_used_at
        return _Known(
            key=key,
            caller=caller,
            networks=[networks.parse(text) for text in terms.ip_ranges],
            is_mark_due=used_at is None or used_at < self._clock.now() - _USED_EVERY,
        )

    async def _take(self, entries: Sequence[Nonce]) -> Sequence[bool | Exception]:
        """Take the nonces; of two alike in one commit the first is taken."""
        async with self._store.transaction() as tx:
            ours = await nonces.take(tx, entries)
        results: list[bool | Exception] = []
        for entry in entries:
            pair = (entry.access_key_id, entry.nonce)
            results.append(pair in ours)
            ours.discard(pair)
        return results

    async def _flush_until_stopped(self) -> None:
        async for _ in self._rounds:
            await self._flush()
        await self._flush()

    async def _flush(self) -> None:
        """Write what was counted, read what others did, note which keys are in use. Nothing if nobody calls."""
        self._forget_past()
        counted = [(id_, count) for id_, count in self._counts.items() if count.ours != count.written]
        used = list(self._used)
        if not counted and not used:
            return
        uses = [KeyUse(id_, _begin(one.minute), one.ours) for id_, one in counted]
        with self._outage:
            others = await self._exchange(uses, used)
            self._used.difference_update(used)
            for (_, count), use in zip(counted, uses, strict=True):
                count.written = use.calls
                count.others = others.get((use.access_key_id, use.minute), 0)

    async def _exchange(
        self, uses: Sequence[KeyUse], used: Sequence[tuple[UUID, str]]
    ) -> Mapping[tuple[str, datetime], int]:
        """Write both; return what others have counted of the same. Raises StoreError."""
        async with self._store.transaction() as tx:
            if uses:
                await key_use.write(tx, uses, writer=self._writer)
            if used:
                await keys.mark_used(tx, used, now=self._clock.now(), every=_USED_EVERY)
        if not uses:
            return {}
        async with self._store.transaction() as tx:
            asked = [(one.access_key_id, one.minute) for one in uses]
            return await key_use.of_others(tx, asked, writer=self._writer)

    def _minute(self) -> int:
        return int(self._clock.now().timestamp() // _WINDOW_S)

    def _rate_of(self, key: ApiKey) -> int:
        rate = key.terms.rate_per_minute
        return self._rate_per_minute if rate is None else rate

    def _count_of(self, access_key_id: str, minute: int) -> _Count:
        count = self._counts.get(access_key_id)
        if count is None or count.minute != minute:
            count = self._counts[access_key_id] = _Count(minute)
        return count

    def _forget_past(self) -> None:
        minute = self._minute()
        for past in [id_ for id_, count in self._counts.items() if count.minute != minute]:
            del self._counts[past]


def _begin(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * _WINDOW_S, UTC)


def _is_nonce(nonce: str) -> bool:
    return 1 <= len(nonce) <= limits.NONCE_CHARS_MAX and nonce.isascii() and nonce.isprintable()


def _read_with(keys: Sequence[bytes], token: str) -> jwt.Claims:
    """Read a token made with any of the keys. Raises as `jwt.read`."""
    *others, last = keys
    for key in others:
        with contextlib.suppress(TokenInvalidError):
            return jwt.read(token, key)
    return jwt.read(token, last)
