"""/v1/senders: the From addresses of a project, on its domains or proven mailboxes.

A sender is named by its address, in any case, within the project of the key. What is removed or disabled is refused
everywhere within a second; what was accepted still goes out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base.vocab import KeyScope
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging, reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.paging import PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.services import senders as service
from outrider.services.senders import Listed

_FIELDS: Final = {"domain": "address"}
_ADDRESS: Final = Meta(examples=["noreply@shop.example"])


class NewSender(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address to send from."""

    address: Annotated[str, _ADDRESS]
    name: Annotated[str, Meta(description="Shown beside it where a mail gives no other.")] = ""


class NewProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mailbox on somebody else's domain whose owner is to be asked."""

    address: Annotated[str, _ADDRESS]


class SenderChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    name: str | UnsetType = UNSET
    is_enabled: Annotated[bool | UnsetType, Meta(description="false: it may not send, within a second.")] = UNSET
    is_default: Annotated[bool | UnsetType, Meta(description="true: it takes the default's place.")] = UNSET


class SenderShown(msgspec.Struct, frozen=True, kw_only=True):
    """An address to send from."""

    address: str
    name: str
    domain: str
    is_single: Annotated[bool, Meta(description="A mailbox on a domain that is not the project's.")]
    is_default: bool
    is_enabled: bool
    may_send: Annotated[bool, Meta(description="Now: it is enabled, and its domain or mailbox is proven.")]
    is_spf_aligned: bool
    is_dkim_aligned: bool
    proven_at: Annotated[datetime | None, Meta(description="Of a single mailbox: when its owner said yes.")]
    proof_expires_at: Annotated[datetime | None, Meta(description="A link is on its way to it, until then.")]
    created_at: datetime
    updated_at: datetime


class SenderList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, oldest first."""

    senders: Sequence[SenderShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/senders."""
    acts = _Senders(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope, **more: Any) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Senders", fields=_FIELDS, **more)

    return [
        row("POST", "/senders", acts.add_sender, KeyScope.MANAGE, status=201),
        row("POST", "/senders/prove", acts.prove_sender, KeyScope.MANAGE, status=202),
        row("GET", "/senders", acts.list_senders, KeyScope.READ),
        row("GET", "/senders/{address}", acts.show_sender, KeyScope.READ),
        row("PATCH", "/senders/{address}", acts.change_sender, KeyScope.MANAGE),
        row("DELETE", "/senders/{address}", acts.remove_sender, KeyScope.MANAGE),
    ]


class _Senders:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def add_sender(self, call: Call, body: NewSender) -> SenderShown:
        """Let the project send as an address on one of its domains. Safe twice."""
        made = await self._ports.services.senders.add(call.project_id, body.address, body.name)
        return await self._shown(call, made.address)

    async def prove_sender(self, call: Call, body: NewProof) -> SenderShown:
        """Mail a link to a mailbox by which its owner lets the project send in its name."""
        offered = await self._ports.services.proofs.offer(call.project_id, body.address)
        return await self._shown(call, offered.address)

    async def list_senders(self, call: Call, query: PageQuery) -> SenderList:
        """List the senders, oldest first."""
        found = await self._ports.services.senders.list(call.project_id, cursor=query.after, count_max=query.limit + 1)
        page, next_cursor = paging.cut(found, query.limit, lambda one: service.place_of(one.sender))
        return SenderList(senders=[_shown(one) for one in page], next=next_cursor)

    async def show_sender(self, call: Call, address: str) -> SenderShown:
        """Show a sender."""
        return await self._shown(call, address)

    async def change_sender(self, call: Call, address: str, body: SenderChange) -> SenderShown:
        """Rename a sender, let it send or not, or make it the default."""
        await self._ports.services.senders.change(call.project_id, address, reading.given(body))
        return await self._shown(call, address)

    async def remove_sender(self, call: Call, address: str) -> None:
        """Forget a sender, within a second. What was accepted still goes out."""
        await self._ports.services.senders.remove(call.project_id, address)

    async def _shown(self, call: Call, address: str) -> SenderShown:
        return _shown(await self._ports.services.senders.show(call.project_id, address))


def _shown(one: Listed) -> SenderShown:
    sender = one.sender
    return SenderShown(
        address=sender.address,
        name=sender.name,
        domain=sender.domain,
        is_single=sender.domain_id is None,
        is_default=sender.is_default,
        is_enabled=sender.is_enabled,
        may_send=sender.may_send,
        is_spf_aligned=one.alignment.spf,
        is_dkim_aligned=one.alignment.dkim,
        proven_at=sender.proven_at,
        proof_expires_at=sender.proof_expires_at,
        created_at=sender.created_at,
        updated_at=sender.updated_at,
    )
