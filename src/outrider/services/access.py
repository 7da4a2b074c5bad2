"""Who is calling, and may it: from what a call shows of itself to its `Caller`, and how much of its rate is left.

    Credentials --authenticate--> Caller --spend--> Allowance
                 one of four forms        a call of its rate

| a call shows | it is |
|---|---|
| a key pair | HTTP Basic, or `Bearer ID.SECRET` |
| an access token | `X-AccessToken`, or `Bearer TOKEN`; of a key, for a while (`issue_token`) |
| a signature | uSpeedo's signed calls: `wire.body_signature`, within five minutes, each nonce once |
"""

from datetime import datetime
from uuid import UUID

import msgspec

from outrider.base.errors import ForbiddenError
from outrider.base.vocab import KeyScope


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a call shows of itself, in one of three forms; a face fills in what came, as it came.

    A face makes it with `faces.api.credentials.read`. Where `needs_body` is true it reads the body before it asks who
    is calling, and hands it over with `faces.api.credentials.with_body`.
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
        """Whether the body says who is calling, or that it was signed: a pair or a token would do without."""
        return self.access_key_secret is None and self.token is None

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


class Access:
    """Tells who calls."""

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Return who shows these credentials.

        Raises:
            UnauthenticatedError: none, unknown, revoked, expired or another secret; which, is not told. Its subclasses
                SignatureError, TimestampError, TokenUnreadableError and TokenInvalidError for those forms.
            ForbiddenError: the right secret, from an address that the key may not be used from.
            StoreUnavailableError: nobody can tell now.
        """
        raise NotImplementedError

    def spend(self, caller: Caller) -> Allowance:
        """Count one call of the key.

        Raises:
            LimitReachedError: the key has had its calls of this minute; this one is not counted.
        """
        raise NotImplementedError
