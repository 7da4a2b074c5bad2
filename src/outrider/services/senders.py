"""Who may send: the addresses of a project's domains, listed or any, and mailboxes that their owner has proven.

    on a domain of the project's    goes out as it is: the domain signs, so From and DKIM are aligned
    a single mailbox, proven        nothing of the project's is aligned with it: refused, or From re-written (ADR 0030)

The hot question, may this address send, is answered from memory for at most `FRESH_S`: one look-up for all addresses of
a domain, so one that takes any address costs no query for each. A removed or disabled sender is refused everywhere
within a second; one that was added or enabled may send at once, for nobody is refused from memory.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from outrider.base import ids, limits, places
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, LimitReachedError, NotFoundError
from outrider.base.vocab import SenderRule, Stream, UnalignedFrom
from outrider.engine.books import AllowedSender, Rewritten
from outrider.mail import address, headers
from outrider.mail.address import Address
from outrider.policy import align
from outrider.policy.align import Alignment
from outrider.store import domains, projects, senders
from outrider.store.pool import Store, Tx
from outrider.store.recent import Recent
from outrider.store.senders import Sender, SendingDomain

__all__ = ["Listed", "Sender", "Senders"]  # With the records a caller meets.

FRESH_S: Final = 0.5  # A removed sender is refused everywhere within 1 s (issue 6).
KEPT_COUNT_MAX: Final = 200  # Ours: of one domain's senders kept at a time; with more, each is asked for by itself.


class Listed(msgspec.Struct, frozen=True):
    """A sender with what DMARC can make of its mail."""

    sender: Sender
    alignment: Alignment


class _Domain(msgspec.Struct, frozen=True):
    """What is known of a domain for a moment."""

    said: SendingDomain
    listed: Mapping[str, Sender] | None  # By address key; None: too many.


class _Way(msgspec.Struct, frozen=True):
    """What becomes of a project's mail that nothing of its own is aligned with."""

    project: str
    mode: UnalignedFrom
    spokesman: Sender | None  # Who may stand in From instead.


class Senders:
    """The senders of all projects; also the engine's `SenderBook`."""

    def __init__(
        self, store: Store, *, clock: Clock, random_bits: Callable[[int], int], shared_bounce_domain: str = ""
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._shared_bounce_domain: Final = shared_bounce_domain
        self._domains: Final = Recent[tuple[UUID, str], _Domain | None](self._read_domain, clock=clock, fresh_s=FRESH_S)
        self._single: Final = Recent[tuple[UUID, str], Sender | None](self._read_sender, clock=clock, fresh_s=FRESH_S)
        self._ways: Final = Recent[tuple[UUID, Stream], _Way](self._read_way, clock=clock, fresh_s=FRESH_S)

    # Configured by hand.

    async def add(self, project_id: UUID, text: str, name: str) -> Sender:
        """Let the project send as this address, on one of its domains. Safe twice and at once.

        Raises:
            CallerError: not an address, or a name that no header can carry.
            NotFoundError: the project has no such domain.
        """
        parsed = _parse(text)
        _check_name(name)
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)  # Of two first senders one is the default.
            domain = await senders.sending_domain(tx, project_id, parsed.domain)
            if domain is None:
                raise NotFoundError(
                    f"The project has no domain {parsed.domain!r}; `outrider domain add` adds one. For a mailbox on a"
                    " domain of somebody else's there is `outrider sender prove`.",
                    field="domain",
                )
            await senders.adopt(tx, project_id, domain.domain_id, domain.name)  # Mailboxes from before it was its own.
            existing = await senders.by_key(tx, project_id, parsed.key)
            if existing is not None:
                return existing
            await senders.insert(
                tx,
                sender_id=ids.uuid7(self._clock.now(), self._random_bits(74)),
                project_id=project_id,
                domain_id=domain.domain_id,
                address=parsed.text,
                address_key=parsed.key,
                name=name,
                now=self._clock.now(),
            )
            return await _found(tx, project_id, parsed)

    async def list(self, project_id: UUID, *, cursor: str = "", count_max: int | None = None) -> Sequence[Listed]:
        """Return the project's senders, oldest first, behind `cursor` (`place_of`); all, or so many.

        Raises:
            CallerError: the cursor is none of ours.
        """
        after = senders.BEGINNING
        if cursor:
            at, hex_id = places.parse(cursor)
            after = (at, UUID(hex_id))
        async with self._store.transaction() as tx:
            found = await senders.of_project(tx, project_id, after=after, count_max=count_max)
            names = {one.domain for one in found if one.domain_id is not None}
            own = await projects.bounce_domain_of(tx, project_id) or self._shared_bounce_domain
            envelopes = {name: await domains.return_path_of(tx, project_id, name) or own for name in names}
        return [_judged(one, envelopes) for one in found]

    async def show(self, project_id: UUID, text: str) -> Listed:
        """Return the project's sender. Raises NotFoundError, CallerError as `add`."""
        async with self._store.transaction() as tx:
            found = await _found(tx, project_id, _parse(text))
            own = await projects.bounce_domain_of(tx, project_id) or self._shared_bounce_domain
            envelope = await domains.return_path_of(tx, project_id, found.domain) if found.domain_id else ""
        return _judged(found, {found.domain: envelope or own})

    async def change(self, project_id: UUID, text: str, changes: Mapping[str, Any]) -> Sender:
        """Change what is named of the sender, all or nothing, within a second. Safe twice.

        Args:
            changes: `name`, its display name, "" for none; `is_enabled`, whether it may send: on a domain that takes
                any address a disabled sender is the exception; `is_default`, True for the project's default.

        Raises:
            NotFoundError, CallerError: as `add`; field "is_default": there is always one, if there is any.
            ConflictError: a single mailbox, which only sends with another's address in From, is to be the default.
        """
        parsed, now = _parse(text), self._clock.now()
        _check_name(changes.get("name", ""))
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            found = await _found(tx, project_id, parsed)
            if "name" in changes:
                await senders.set_name(tx, project_id, found.sender_id, changes["name"], now=now)
            if "is_enabled" in changes:
                is_enabled = changes["is_enabled"]
                await senders.set_enabled(tx, project_id, found.sender_id, is_enabled=is_enabled, now=now)
            if "is_default" in changes:
                _check_default(found, is_default=changes["is_default"])
                await senders.set_default(tx, project_id, found.sender_id, now=now)
            return await _found(tx, project_id, parsed)

    async def remove(self, project_id: UUID, text: str) -> None:
        """Forget the sender, within a second. What was accepted still goes out.

        Raises:
            NotFoundError, CallerError: as `add`.
            ConflictError: it is the default, and there are others.
            LimitReachedError: a link was mailed to it a moment ago.
        """
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            found = await _found(tx, project_id, _parse(text))
            self._check_calm(found)
            if found.is_default and any(
                one.domain_id is not None and one.sender_id != found.sender_id
                for one in await senders.of_project(tx, project_id)
            ):
                raise ConflictError(
                    f"{found.address} is the default sender; make another one the default first, with `outrider sender"
                    " default ADDRESS`.",
                    field="address",
                )
            await senders.remove(tx, project_id, found.sender_id)

    def _check_calm(self, sender: Sender) -> None:
        """Keep a mailbox that was mailed a link: without its row nobody would know not to mail another at once."""
        if sender.proof_expires_at is None:
            return
        age_s = limits.PROOF_LIFE_S - (sender.proof_expires_at - self._clock.now()).total_seconds()
        if age_s < limits.PROOF_AGAIN_S:
            raise LimitReachedError(
                f"A link was mailed to {sender.address} a moment ago; it can be forgotten within the hour.",
                retry_after_s=limits.PROOF_AGAIN_S - age_s,
                field="address",
            )

    async def rule(self, project_id: UUID, name: str) -> SendingDomain:
        """Return which addresses of the project's domain may send. Raises NotFoundError; CallerError: no name."""
        name = address.parse_domain(name)
        async with self._store.transaction() as tx:
            found = await senders.sending_domain(tx, project_id, name)
        if found is None:
            raise NotFoundError(f"The project has no domain {name!r}; see `outrider domain list`.", field="domain")
        return found

    async def alignment(self, project_id: UUID) -> UnalignedFrom:
        """Return what becomes of the project's mail that would fail DMARC."""
        async with self._store.transaction() as tx:
            return await projects.alignment_of(tx, project_id)

    # Asked for each mail.

    async def find(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender | None:
        """Return the sender if it may send now (`engine.accept.SenderBook`).

        Raises:
            CallerError: field "sender"; its mail would fail DMARC and is not re-written.
        """
        found = await self._find(project_id, sender, stream)
        if found is None:
            self._domains.forget((project_id, sender.domain))
            self._single.forget((project_id, sender.key))
            found = await self._find(project_id, sender, stream)
        return found

    async def _find(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender | None:
        domain = await self._domains.get((project_id, sender.domain))
        if domain is None:
            return await self._find_mailbox(project_id, sender, stream)
        if not domain.said.is_verified:
            return None
        if domain.listed is not None:
            found = domain.listed.get(sender.key)
        else:
            found = await self._single.get((project_id, sender.key))
        if found is None and domain.said.rule is SenderRule.LISTED:
            return None
        if found is not None and not found.is_enabled:
            return None
        if found is None:
            return AllowedSender(sender, "")
        return AllowedSender(sender if found.address == sender.text else address.parse(found.address), found.name)

    async def _find_mailbox(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender | None:
        """Return the proven mailbox with its From re-written. Raises CallerError, as `find`."""
        found = await self._single.get((project_id, sender.key))
        if found is None or not found.may_send:
            return None
        reason = align.refusal(sender.domain)
        way = await self._ways.get((project_id, stream))
        if way.mode is UnalignedFrom.REFUSE or way.spokesman is None:
            self._ways.forget((project_id, stream))
            way = await self._ways.get((project_id, stream))
        if way.mode is UnalignedFrom.REFUSE:
            raise CallerError(
                f"Mail from {found.address} is refused: {reason}. Send from a domain of the project, or have From"
                " re-written: `outrider sender alignment rewrite`.",
                field="sender",
            )
        if way.spokesman is None:
            raise CallerError(
                f"Mail from {found.address} needs another From: {reason}, and the project has no sender on a domain of"
                f" its own that may send {stream} mail.",
                field="sender",
            )
        instead = address.parse(way.spokesman.address)
        return AllowedSender(instead, found.name, Rewritten(address.parse(found.address), way.project, reason))

    async def _read_domain(self, key: tuple[UUID, str]) -> _Domain | None:
        project_id, name = key
        async with self._store.transaction() as tx:
            said = await senders.sending_domain(tx, project_id, name)
            if said is None:
                return None
            found = await senders.of_domain(tx, project_id, said.domain_id, count_max=KEPT_COUNT_MAX + 1)
        if len(found) > KEPT_COUNT_MAX:
            return _Domain(said, None)
        return _Domain(said, {address.key_of(one.address): one for one in found})

    async def _read_sender(self, key: tuple[UUID, str]) -> Sender | None:
        async with self._store.transaction() as tx:
            return await senders.by_key(tx, *key)

    async def _read_way(self, key: tuple[UUID, Stream]) -> _Way:
        project_id, stream = key
        async with self._store.transaction() as tx:
            project = await projects.name_of(tx, project_id) or ""
            mode = await projects.alignment_of(tx, project_id)
            return _Way(project, mode, await senders.spokesman(tx, project_id, stream))


def place_of(sender: Sender) -> str:
    """Return the cursor behind that sender."""
    return places.text(sender.created_at, sender.sender_id.hex)


async def _found(tx: Tx, project_id: UUID, parsed: Address) -> Sender:
    found = await senders.by_key(tx, project_id, parsed.key)
    if found is None:
        raise NotFoundError(
            f"The project has no sender {parsed.text}; `outrider sender list` shows those it has.", field="address"
        )
    return found


def _parse(text: str) -> Address:
    try:
        return address.parse(text)
    except CallerError as error:
        raise CallerError(f"Not an address: {error.public}.", field="address") from error


def _check_name(name: str) -> None:
    if len(name) > limits.FROM_NAME_CHARS_MAX:
        raise CallerError(f"A name has at most {limits.FROM_NAME_CHARS_MAX} characters.", field="name")
    headers.check_display_name(name, field="name")


def _check_default(sender: Sender, *, is_default: bool) -> None:
    if not is_default:
        raise CallerError("Make another sender the default instead.", field="is_default")
    if sender.domain_id is None:
        raise ConflictError(
            f"{sender.address} is on a domain that is not the project's; the default must be on one that is.",
            field="address",
        )


def _judged(sender: Sender, envelopes: Mapping[str, str]) -> Listed:
    """Judge by what signs and where bounces go; without a return path they go to the sender's own domain."""
    if sender.domain_id is None:
        return Listed(sender, Alignment(dkim=False, spf=False))
    envelope = envelopes[sender.domain] or sender.domain
    return Listed(sender, align.judge(sender.domain, signers=(sender.domain,), envelope=envelope))
