"""Station 1: from a `Submission` to mail on disk. Every door calls this; there is no other way in.

    check (fields, sender, each address) --> find lanes --> [group commit] --> Accepted

Checks that concern the whole call raise a `CallerError` whose `field` is the Submission's field; a bad address only
rejects that recipient. Nothing is stored before these checks are over; then first the lanes that are missing, in a
commit of their own: an empty lane is a row and means nothing. The answer is given after the commit that holds content,
message, recipients, queue, event and idempotency key together; concurrent callers share that commit. In one query it
also asks who of the recipients is suppressed: they are rejected.

Failure policy: when the database is away the caller is told so (`StoreUnavailableError`) and nothing is kept, unless
the connection died during the commit: then only an idempotency key makes the caller's retry safe.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.base.vocab import Stream
from outrider.engine import check
from outrider.engine.settings import EngineSettings
from outrider.engine.submission import Accepted, Attachment, Rejected, Submission
from outrider.mail import address
from outrider.mail.address import Address
from outrider.obs.metrics import Metrics
from outrider.policy import align, quota, retry
from outrider.policy.quota import Quota, Wanted
from outrider.store import attachments, idempotency, intake, lanes, messages, quotas, suppressions
from outrider.store.batch import GroupCommit
from outrider.store.events import Facts
from outrider.store.idempotency import KeyedAnswer
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.lanes import LaneGoneError, LaneKey
from outrider.store.messages import Body, FileRef, Message
from outrider.store.pool import Store, Tx
from outrider.store.suppressions import Asked, Suppression

SUPPRESSED: Final = "recipient suppressed"  # uSpeedo's word (shared/uspeedo.md 1.3).
_FILE_BYTES_AS_RECIPIENT: Final = 64 * 1024  # Ours: so that a commit of 1,000 holds at most some 60 MB of files.
_FINDS_MAX: Final = 3  # Ours: of lanes that are gone when the mail is to go in; once is rare.
_LANES_KNOWN_MAX: Final = 200_000  # Ours: about 60 MB of lane names; past it the memory starts anew.


class Rewritten(msgspec.Struct, frozen=True):
    """A From that DMARC would fail, in whose place another stands."""

    address: Address  # As the caller gave it: answers go there.
    via: str  # The project's name, for people.
    reason: str  # Why, in a sentence.


class AllowedSender(msgspec.Struct, frozen=True):
    """A sender that may send now: enabled, on a domain of the project that is verified and not stopped."""

    address: Address  # What From says; its domain signs.
    name: str
    rewritten: Rewritten | None = None  # From says another address than the caller gave.


class SenderBook(Protocol):
    """Who may send for a project (`services.senders`)."""

    async def find(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender | None:
        """Return the sender, None if the project may not send as that address now.

        Raises:
            CallerError: field "sender"; it may not, for a reason that its owner can mend.
        """


class DomainBook(Protocol):
    """Which mail a sending domain sends (`services.identity`)."""

    async def check(self, project_id: UUID, domain: str, stream: Stream) -> None:
        """Return if that stream's mail may be taken. Raises CallerError: it sends the other only, or is stopped."""


class PoolBook(Protocol):
    """Which pool of source addresses carries whose mail (`services.egress`)."""

    async def pool_for(self, project_id: UUID, stream: Stream, sender_domain: str, *, asked: str = "") -> str:
        """Return the name of the pool.

        Raises:
            NotFoundError: field "pool": the one `asked` for is none that this mail may go through.
        """


class QuotaBook(Protocol):
    """How much a project may send (`services.quotas`)."""

    async def quota_for(self, project_id: UUID) -> Quota | None:
        """Return the project's quota, None if it has none."""


class _Checked(msgspec.Struct, frozen=True):
    """A submission that passed every check."""

    project_id: UUID
    submission: Submission
    sender: AllowedSender
    addresses: Sequence[Address]  # At least one, each once.
    rejected: Sequence[Rejected]
    idempotency_key: str
    request_hash: bytes  # Of the submission, to tell its repeat from another with the same key; b"" without a key.
    quota: Quota | None


class _Draft(msgspec.Struct, frozen=True):
    """A checked submission, ready to be written."""

    message: Message
    rewritten: Rewritten | None
    body: bytes  # As `content.body` holds it.
    files: Sequence[tuple[bytes, Attachment]]  # With the hash of their content.
    recipients: Sequence[NewRecipient]
    asked: Sequence[Asked]  # As the recipients; who of them gets no mail is found out at the commit.
    answer: Accepted
    keyed: KeyedAnswer | None
    quota: Quota | None


_encode: Final = msgspec.json.Encoder().encode
_decode_answer: Final = msgspec.json.Decoder(Accepted).decode


class Acceptor:
    """Station 1. Runs its group commit while `run` runs; call it to accept a submission."""

    def __init__(
        self,
        store: Store,
        senders: SenderBook,
        domains: DomainBook,
        pools: PoolBook,
        settings: EngineSettings,
        *,
        clock: Clock,
        random_bits: Callable[[int], int],
        metrics: Metrics,
        quotas: QuotaBook | None = None,
    ) -> None:
        self._store: Final = store
        self._senders: Final = senders
        self._domains: Final = domains
        self._settings: Final = settings
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._metrics: Final = metrics
        self._pools: Final = pools
        self._quotas: Final = quotas
        self._writer: Final = "" if quotas is None else f"{random_bits(64):016x}"  # Of the counts towards quotas.
        self._lane_ids: Final[dict[tuple[object, ...], dict[str, int]]] = {}  # By all of the key but route.
        self._lanes_known_count = 0
        self._commit: Final = GroupCommit[_Draft, Accepted](
            self._write,
            clock=clock,
            wait_s=settings.accept_wait_s,
            weight_max=settings.accept_weight_max,
            weigh=_weigh,
        )

    async def run(self) -> None:
        """Commit what callers submit, until `stop`."""
        await self._commit.run()

    def stop(self) -> None:
        """Refuse new submissions; those already checked are still committed."""
        self._commit.stop()

    async def __call__(
        self,
        project_id: UUID,
        submission: Submission,
        *,
        idempotency_key: str = "",
        request_hash: bytes = b"",
        domains: Set[str] = frozenset(),
    ) -> Accepted:
        """Accept the submission: its mail is on disk when this returns.

        Args:
            idempotency_key: the same key with the same submission gets the first answer again and sends nothing, even
                if the submission would be refused by now; "" means none.
            request_hash: SHA-256 of what the caller asked for, where that is less than the submission: a file by its
                URL. b"": the submission's own.
            domains: the sender's domain must be one of these; empty: any that the project may send from.

        Raises:
            CallerError: `field` is the Submission's field at fault; "sender" also if its mail would fail DMARC.
            ForbiddenError: field "sender": its domain is none of `domains`.
            LimitReachedError: the project's quota does not hold that many recipients.
            NotFoundError: the project may not send as `sender` (unknown, disabled, unverified or somebody else's).
            ForbiddenError: its domain is stopped: its DNS records are gone or wrong.
            ConflictError: the idempotency key was used with another submission.
            BusyError, StoreError: nothing was kept; try again.
        """
        try:
            return await self._accept(project_id, submission, idempotency_key, request_hash, domains)
        except (ConflictError, ForbiddenError):
            raise
        except CallerError as error:
            if not idempotency_key or error.field == "idempotency_key":  # Nothing was ever kept under it.
                raise
            # Its sender is removed since, say, or `send_at` has passed: still it was accepted once.
            first = await self._known(project_id, submission, idempotency_key, request_hash)
            if first is None:
                raise
            return first

    async def _known(
        self, project_id: UUID, submission: Submission, idempotency_key: str, request_hash: bytes
    ) -> Accepted | None:
        """Return the first answer to a submission that is refused now, None if it never had another."""
        if not idempotency_key or len(idempotency_key) > limits.IDEMPOTENCY_KEY_CHARS_MAX:
            return None
        try:
            request_hash = request_hash or _hash(submission)
        except CallerError:  # Half a character, which is what it is refused for.
            return None
        return await self.first_answer(project_id, idempotency_key, request_hash)

    async def first_answer(self, project_id: UUID, idempotency_key: str, request_hash: bytes) -> Accepted | None:
        """Return what was answered to the first request with this key, None if there was none; "" is no key.

        Raises:
            ConflictError: that was another request.
        """
        if not idempotency_key or not idempotency_key.isprintable():
            return None
        pair = (project_id, idempotency_key)
        async with self._store.transaction() as tx:
            stored = await idempotency.find(tx, [pair])
        return _repeated(stored[pair], request_hash) if pair in stored else None

    async def _accept(
        self,
        project_id: UUID,
        submission: Submission,
        idempotency_key: str,
        request_hash: bytes,
        domains: Set[str],
    ) -> Accepted:
        now = self._clock.now()
        check.submission(submission, now=now)
        check.idempotency_key(idempotency_key)
        sender = await self._find_sender(project_id, submission.sender, submission.stream, domains)
        addresses, rejected = _read_addresses(submission.recipients)
        if not addresses:
            self._metrics.rejected.inc(len(rejected))
            return Accepted(None, 0, tuple(rejected))
        if idempotency_key and not request_hash:
            request_hash = _hash(submission)
        allowed = None if self._quotas is None else await self._quotas.quota_for(project_id)
        checked = _Checked(project_id, submission, sender, addresses, rejected, idempotency_key, request_hash, allowed)
        accepted = await self._store_checked(checked)
        if accepted.rejected:
            self._metrics.rejected.inc(len(accepted.rejected))
        self._metrics.accepted.inc(accepted.recipient_count)
        return accepted

    async def examine(
        self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()
    ) -> Sequence[Rejected]:
        """Raise what accepting it would before anything is stored; return the recipients that are no addresses."""
        check.submission(submission, now=self._clock.now())
        await self._find_sender(project_id, submission.sender, submission.stream, domains)
        return _read_addresses(submission.recipients)[1]

    async def _find_sender(self, project_id: UUID, text: str, stream: Stream, domains: Set[str]) -> AllowedSender:
        try:
            parsed = address.parse(text)
        except CallerError as error:
            raise CallerError(f"The sender is not an address: {error.public}", field="sender") from error
        if domains and parsed.domain not in domains:
            raise ForbiddenError("This key may not send from that domain.", field="sender")
        sender = await self._senders.find(project_id, parsed, stream)
        if sender is None:
            raise NotFoundError(
                "That sender is not configured, or its domain is not verified: add it with `outrider sender add`.",
                field="sender",
            )
        await self._domains.check(project_id, sender.address.domain, stream)
        return sender

    async def _store_checked(self, checked: _Checked) -> Accepted:
        """Write it into its lanes. A campaign's that we knew may be gone (`lanes.sweep`): it is made anew."""
        routes = {to.domain for to in checked.addresses}
        for _ in range(_FINDS_MAX - 1):
            try:
                return await self._commit.submit(self._draft(checked, await self._find_lanes(checked, routes)))
            except LaneGoneError:
                self._forget_lanes()
        return await self._commit.submit(self._draft(checked, await self._find_lanes(checked, routes)))

    def _forget_lanes(self) -> None:
        self._lanes_known_count = 0
        self._lane_ids.clear()

    async def _find_lanes(self, checked: _Checked, routes: set[str]) -> dict[str, int]:
        project_id, stream, domain = checked.project_id, checked.submission.stream, checked.sender.address.domain
        campaign = checked.submission.campaign
        pool = await self._pools.pool_for(project_id, stream, domain, asked=checked.submission.pool)
        whose = (pool, project_id, stream, domain, campaign)
        known = self._lane_ids.get(whose, {})
        found = {route: known[route] for route in routes if route in known}
        missing = routes - found.keys()
        if unknown := [LaneKey(pool, r, stream, project_id, domain, campaign=campaign) for r in missing]:
            async with self._store.transaction() as tx:
                made = await lanes.ensure(tx, unknown)
            found.update((key.route, lane_id) for key, lane_id in made.items())
            self._lanes_known_count += len(made)
            if self._lanes_known_count > _LANES_KNOWN_MAX:  # Others may be waiting here too, so `found` keeps its own.
                self._forget_lanes()
            self._lane_ids.setdefault(whose, {}).update(found)
        return found

    def _draft(self, checked: "_Checked", lane_ids: Mapping[str, int]) -> _Draft:
        project_id, submission, addresses = checked.project_id, checked.submission, checked.addresses
        domain = checked.sender.address.domain
        now = self._clock.now()
        due_at = now if submission.send_at is None else max(now, submission.send_at)
        life_s = self._settings.message_life_s if submission.expires_s is None else submission.expires_s
        expires_at = retry.expires_at(due_at, life_s)
        message_id, *recipient_ids = self._new_ids(now, 1 + len(addresses))
        files = [(hashlib.sha256(file.content).digest(), file) for file in submission.attachments]
        body = messages.encode_body(_body(submission, files, checked.sender.rewritten))
        answer = Accepted(message_id, len(addresses), tuple(checked.rejected))
        return _Draft(
            message=Message(
                message_id=message_id,
                project_id=project_id,
                stream=submission.stream,
                sender=checked.sender.address.text,
                from_name=_from_name(checked),
                subject=submission.subject,
                content_hash=hashlib.sha256(body).digest(),
                recipient_count=len(addresses),
                accepted_at=now,
                expires_at=expires_at,
                campaign=submission.campaign,
                list_name=submission.list_name,
                tags=submission.tags,
                metadata=submission.metadata,
                send_at=None if submission.send_at is None else due_at,
                track_opens=submission.track_opens,
                track_clicks=submission.track_clicks,
                resent_from=submission.resent_from,
            ),
            rewritten=checked.sender.rewritten,
            body=body,
            files=files,
            recipients=[
                NewRecipient(id_, message_id, project_id, to.text, lane_ids[to.domain], due_at, expires_at)
                for id_, to in zip(recipient_ids, addresses, strict=True)
            ],
            asked=[Asked(project_id, to.key, submission.stream, domain, submission.list_name) for to in addresses],
            answer=answer,
            keyed=_keyed(checked, answer),
            quota=checked.quota,
        )

    def _new_ids(self, now: datetime, count: int) -> list[UUID]:
        """Make ids of this millisecond that sort in the order they are made."""
        unix_ms = int(now.timestamp() * 1000)
        return sorted(ids.from_ms(unix_ms, self._random_bits(74)) for _ in range(count))

    async def _write(self, drafts: Sequence[_Draft]) -> Sequence[Accepted | Exception]:
        """Commit all drafts in one transaction; a repeated idempotency key gets its first answer instead."""
        now = self._clock.now()
        keyed = [draft.keyed for draft in drafts if draft.keyed is not None]
        async with self._store.transaction() as tx:
            suppressed = await suppressions.among(tx, [one for draft in drafts for one in draft.asked], now=now)
            if suppressed:
                drafts = [_without(draft, suppressed) for draft in drafts]
                keyed = [draft.keyed for draft in drafts if draft.keyed is not None]
            repeats: dict[tuple[UUID, str], KeyedAnswer] = {}
            if keyed:
                first = {(k.project_id, k.idempotency_key): k for k in reversed(keyed)}
                ours = await idempotency.claim(tx, list(first.values()), now=now)
                repeats = {pair: answer for pair, answer in first.items() if pair in ours}
                if others := [pair for pair in first if pair not in ours]:
                    repeats |= await idempotency.find(tx, others)
            fresh, results = _sort_out(drafts, repeats)
            fresh = [draft for draft in fresh if draft.recipients]
            if any(draft.quota is not None for draft in fresh):
                fresh, results = await self._charge(tx, fresh, results, now=now)
            if fresh:
                if files := {(d.message.project_id, key): one.content for d in fresh for key, one in d.files}:
                    await attachments.insert(tx, [(*key, octets) for key, octets in files.items()], now=now)
                await intake.insert(tx, [NewMail(d.message, d.body, d.recipients, _facts(d)) for d in fresh], now=now)
                lane_ids = {to.lane_id for d in fresh for to in d.recipients}
                await lanes.touch(tx, list(lane_ids), due_at=min(to.due_at for d in fresh for to in d.recipients))
        self._metrics.write_size.labels(station="accept").observe(sum(len(d.recipients) for d in fresh))
        return results

    async def _charge(
        self, tx: Tx, fresh: list[_Draft], results: list[Accepted | Exception], *, now: datetime
    ) -> tuple[list[_Draft], list[Accepted | Exception]]:
        """Count towards quotas. Returns the drafts that these hold, and the results with what was refused.

        Far from its end a quota is counted without waiting for other processes; near it they take turns.
        """
        wanted = [
            Wanted(d.message.message_id, d.message.project_id, len(d.recipients), d.quota)
            for d in fresh
            if d.quota is not None
        ]
        project_ids = list({call.project_id for call in wanted})
        used = await quotas.used(tx, project_ids, today=now.date())
        if quota.is_near(wanted, used):
            await quotas.lock(tx, project_ids)
            used = await quotas.used(tx, project_ids, today=now.date())  # With what was committed while we waited.
        taken, refused = quota.judge(wanted, used, now)
        if taken:
            await quotas.count(tx, taken, today=now.date(), writer=self._writer)
        if not refused:
            return fresh, results
        keyed = [d.keyed for d in fresh if d.keyed is not None and d.message.message_id in refused]
        if keyed:  # Nothing was sent under these keys, so the caller may try again with them.
            await idempotency.release(tx, [(one.project_id, one.idempotency_key) for one in keyed])
        kept = [draft for draft in fresh if draft.message.message_id not in refused]
        return kept, [refused.get(r.session_id, r) if isinstance(r, Accepted) and r.session_id else r for r in results]


def _read_addresses(texts: Sequence[str]) -> tuple[list[Address], list[Rejected]]:
    """Parse each recipient; duplicates (by `Address.key`) count once, the first spelling stays."""
    found: dict[str, Address] = {}
    rejected: dict[str, Rejected] = {}
    for text in texts:
        try:
            parsed = address.parse(text)
        except CallerError as error:
            rejected.setdefault(text, Rejected(text, f"invalid address: {error.public}"))
            continue
        found.setdefault(parsed.key, parsed)
    return list(found.values()), list(rejected.values())


def _weigh(draft: _Draft) -> int:
    """Recipients, and files as what they cost a commit beside them."""
    return len(draft.recipients) + sum(len(file.content) for _, file in draft.files) // _FILE_BYTES_AS_RECIPIENT


def _body(submission: Submission, files: Sequence[tuple[bytes, Attachment]], rewritten: Rewritten | None) -> Body:
    """What is written into the message. Answers to a From that was re-written go to the mailbox that wrote."""
    answers_to = (rewritten.address.text,) if rewritten else ()
    return Body(
        text=submission.text,
        html=submission.html,
        shown_to=submission.shown_to,
        shown_cc=submission.shown_cc,
        reply_to=submission.reply_to or answers_to,
        headers=submission.headers,
        files=tuple(
            FileRef(content_hash, len(file.content), file.name, file.type, file.content_id)
            for content_hash, file in files
        ),
    )


def _hash(submission: Submission) -> bytes:
    if submission.attachments:  # Their octets count by their hash: JSON would write megabytes of base64 to hash them.
        hashed = tuple(
            msgspec.structs.replace(file, content=hashlib.sha256(file.content).digest())
            for file in submission.attachments
        )
        submission = msgspec.structs.replace(submission, attachments=hashed)
    try:
        return hashlib.sha256(_encode(submission)).digest()
    except UnicodeEncodeError as error:  # All other fields have been checked for it.
        raise CallerError("A recipient has half a character (a lone surrogate).", field="recipients") from error


def _from_name(checked: _Checked) -> str:
    name = checked.submission.from_name or checked.sender.name
    rewritten = checked.sender.rewritten
    return name if rewritten is None else align.via(name or rewritten.address.local, rewritten.via)


def _keyed(checked: _Checked, answer: Accepted) -> KeyedAnswer | None:
    """What to remember under the caller's idempotency key; None if it gave none."""
    if not checked.idempotency_key:
        return None
    return KeyedAnswer(checked.project_id, checked.idempotency_key, checked.request_hash, _encode(answer))


def _sort_out(
    drafts: Sequence[_Draft], stored: dict[tuple[UUID, str], KeyedAnswer]
) -> tuple[list[_Draft], list[Accepted | Exception]]:
    """Tell drafts to write from repeats. Returns the former, and the result of every draft in order."""
    fresh: list[_Draft] = []
    results: list[Accepted | Exception] = []
    for draft in drafts:
        keyed = draft.keyed
        first = stored.get((keyed.project_id, keyed.idempotency_key)) if keyed else None
        if first is None or first is keyed:
            fresh.append(draft)
            results.append(draft.answer)
        else:
            assert keyed is not None
            try:
                results.append(_repeated(first, keyed.request_hash))
            except ConflictError as error:
                results.append(error)
    return fresh, results


def _repeated(first: KeyedAnswer, request_hash: bytes) -> Accepted:
    """Return the first answer, marked. Raises ConflictError: it answered another request."""
    if first.request_hash != request_hash or not first.answer:
        raise ConflictError("That idempotency key was used with another request.", field="idempotency_key")
    return msgspec.structs.replace(_decode_answer(first.answer), is_repeat=True)


def _without(draft: _Draft, suppressed: Mapping[Asked, Suppression]) -> _Draft:
    """Return the draft without the recipients that get no mail from the project; they are rejected."""
    pairs = list(zip(draft.recipients, draft.asked, strict=True))
    kept = [to for to, asked in pairs if asked not in suppressed]
    if len(kept) == len(pairs):
        return draft
    rejected = [Rejected(to.address, SUPPRESSED) for to, asked in pairs if asked in suppressed]
    session_id = draft.answer.session_id if kept else None
    answer = Accepted(session_id, len(kept), (*draft.answer.rejected, *rejected))
    return msgspec.structs.replace(
        draft,
        message=msgspec.structs.replace(draft.message, recipient_count=len(kept)),
        recipients=kept,
        asked=[asked for asked in draft.asked if asked not in suppressed],
        answer=answer,
        keyed=msgspec.structs.replace(draft.keyed, answer=_encode(answer)) if draft.keyed else None,
    )


def _facts(draft: _Draft) -> Facts:
    """What the event of its acceptance says."""
    facts: dict[str, str | int] = {
        "recipient_count": draft.message.recipient_count,
        "rejected_count": len(draft.answer.rejected),
    }
    if draft.rewritten is not None:
        facts |= {
            "from": draft.message.sender,
            "from_given": draft.rewritten.address.text,
            "from_reason": draft.rewritten.reason,
        }
    return facts
