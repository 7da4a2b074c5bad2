"""/v1/keys and /v1/tokens: who may call for a project, and what with.

No key makes one that may do more than itself.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base import limits
from outrider.base.errors import ForbiddenError
from outrider.base.vocab import KeyScope
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging, reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.paging import PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.services import accounts
from outrider.services.accounts import ApiKey, KeyTerms, Maker

_RANGES = Meta(description="It may be used from these alone, 192.0.2.0/24; empty: from anywhere.")
_DOMAINS = Meta(description="It may send from these alone; empty: from all of the project's.")
_EXPIRES = Meta(description="null: never.")
_RATE = Meta(description="Calls; 0: as many as it likes; null: as the installation's settings say.")
_SIGNED = Meta(description="Without it: as for the key that calls. false: uSpeedo's signed calls do not count for it.")
_SIGNED_NO_MORE = Meta(description="false: uSpeedo's signed calls count no more for it; this cannot be taken back.")


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="What it is for.", examples=["web shop"])]
    scopes: Annotated[list[KeyScope], Meta(min_length=1, description="What it may do.")]
    ip_ranges: Annotated[list[str], _RANGES] = []
    domains: Annotated[list[str], _DOMAINS] = []
    expires_at: Annotated[datetime | None, _EXPIRES] = None
    rate_per_minute: Annotated[int | None, _RATE] = None
    allow_signed: Annotated[bool | UnsetType, _SIGNED] = UNSET


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    scopes: Annotated[list[KeyScope], Meta(min_length=1)] | UnsetType = UNSET
    ip_ranges: Annotated[tuple[str, ...] | UnsetType, _RANGES] = UNSET
    domains: Annotated[tuple[str, ...] | UnsetType, _DOMAINS] = UNSET
    expires_at: Annotated[datetime | UnsetType | None, _EXPIRES] = UNSET
    rate_per_minute: Annotated[int | UnsetType | None, _RATE] = UNSET
    allow_signed: Annotated[bool | UnsetType, _SIGNED_NO_MORE] = UNSET


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret."""

    id: Annotated[str, Meta(description="The ACCESSKEY_ID.")]
    name: str
    scopes: Sequence[KeyScope]
    ip_ranges: Sequence[str]
    domains: Sequence[str]
    expires_at: datetime | None
    rate_per_minute: int | None
    allow_signed: Annotated[bool, Meta(description="Whether uSpeedo's signed calls count for it.")]
    created_at: datetime
    last_used_at: Annotated[datetime | None, Meta(description="To about ten seconds; null: never.")]
    revoked_at: Annotated[datetime | None, Meta(description="null: it is valid, unless it has expired.")]


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new key. Its secret is shown this once."""

    id: str
    secret: Annotated[str, Meta(description="The ACCESSKEY_SECRET. Nobody can show it again.")]
    key: KeyShown


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, oldest first, with those that were revoked."""

    keys: Sequence[KeyShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be made for the key that calls."""

    life_s: Annotated[
        float,
        Meta(ge=limits.TOKEN_LIFE_S_MIN, le=limits.TOKEN_LIFE_S_MAX, description="Seconds until it is over."),
    ] = limits.TOKEN_LIFE_S
    scopes: Annotated[list[KeyScope], Meta(min_length=1, description="Without it: the key's.")] | None = None


class TokenMade(msgspec.Struct, frozen=True, kw_only=True):
    """An access token: `Authorization: Bearer TOKEN`, or `X-AccessToken`."""

    token: str
    expires_at: datetime
    scopes: Sequence[KeyScope]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/keys and /v1/tokens."""
    acts = _Keys(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope | None, **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Keys", fields={"access_key_id": "id"}, **more)

    return [
        row("POST", "/keys", acts.make_key, KeyScope.MANAGE, status=201),
        row("GET", "/keys", acts.list_keys, KeyScope.MANAGE),
        row("GET", "/keys/{id}", acts.show_key, KeyScope.MANAGE),
        row("PATCH", "/keys/{id}", acts.change_key, KeyScope.MANAGE),
        row("DELETE", "/keys/{id}", acts.revoke_key, KeyScope.MANAGE),
        row("POST", "/tokens", acts.make_token, None, status=201, is_for_any_key=True),
    ]


class _Keys:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def make_key(self, call: Call, body: NewKey) -> KeyMade:
        """Make a key. It may do no more than the key that calls."""
        terms = KeyTerms(
            scopes=frozenset(body.scopes),
            ip_ranges=tuple(body.ip_ranges),
            domains=tuple(body.domains),
            expires_at=body.expires_at,
            rate_per_minute=body.rate_per_minute,
        )
        service = self._ports.services.accounts
        pair = await service.create_key(
            call.project_id,
            body.name,
            terms,
            allow_signed=None if isinstance(body.allow_signed, UnsetType) else body.allow_signed,
            maker=await self._maker(call),
        )
        made = await service.key(call.project_id, pair.access_key_id)
        return KeyMade(id=pair.access_key_id, secret=pair.access_key_secret, key=_shown(made))

    async def list_keys(self, call: Call, query: PageQuery) -> KeyList:
        """List the keys, oldest first, those that were revoked too."""
        found = await self._ports.services.accounts.list_keys(
            call.project_id, cursor=query.after, count_max=query.limit + 1
        )
        page, next_cursor = paging.cut(found, query.limit, accounts.place_of)
        return KeyList(keys=[_shown(one) for one in page], next=next_cursor)

    async def show_key(self, call: Call, id: str) -> KeyShown:  # noqa: A002 - the name in the path.
        """Show a key."""
        return _shown(await self._ports.services.accounts.key(call.project_id, id))

    async def change_key(self, call: Call, id: str, body: KeyChange) -> KeyShown:  # noqa: A002
        """Change a key, everywhere within a second. It may do no more than the key that calls."""
        changes = reading.given(body)
        if "scopes" in changes:
            changes["scopes"] = frozenset(changes["scopes"])
        maker = await self._maker(call)
        return _shown(await self._ports.services.accounts.change_key(call.project_id, id, changes, maker=maker))

    async def revoke_key(self, call: Call, id: str) -> None:  # noqa: A002
        """Make a key worthless, with its tokens, everywhere within a second. Safe twice."""
        await self._ports.services.accounts.revoke_key(call.project_id, id)

    async def make_token(self, call: Call, body: NewToken) -> TokenMade:
        """Make an access token for the key that calls. It ends with its key."""
        assert call.caller is not None
        scopes = None if body.scopes is None else frozenset(body.scopes)
        made = self._ports.services.access.issue_token(call.caller, life_s=body.life_s, scopes=scopes)
        return TokenMade(token=made.token, expires_at=made.expires_at, scopes=sorted(made.scopes))

    async def _maker(self, call: Call) -> Maker:
        assert call.caller is not None
        if call.caller.is_token:  # It would outlive the token.
            raise ForbiddenError("An access token cannot make or change keys; use the key pair.")
        key = await self._ports.services.accounts.key(call.project_id, call.caller.access_key_id)
        terms = msgspec.structs.replace(key.terms, scopes=call.caller.scopes)
        return Maker(terms, call.caller.rate_per_minute, key.allow_signed)


def _shown(key: ApiKey) -> KeyShown:
    return KeyShown(
        id=key.access_key_id,
        name=key.name,
        scopes=sorted(key.terms.scopes),
        ip_ranges=key.terms.ip_ranges,
        domains=key.terms.domains,
        expires_at=key.terms.expires_at,
        rate_per_minute=key.terms.rate_per_minute,
        allow_signed=key.allow_signed,
        created_at=key.created_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
    )
