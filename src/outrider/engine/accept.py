"""Station 1: from a `Submission` to mail on disk. Every door calls this; there is no other way in.

    check (fields, sender, each address) --> find lanes --> [group commit] --> Accepted

Checks that concern the whole call raise a `CallerError` whose `field` is the Submission's field; a bad address only
rejects that recipient. Nothing is stored before these checks are over; then first the lanes that are missing, in a
commit of their own: an empty lane is a row and means nothing. Content is looked at last (`content`), where somebody is
there to do it. The answer is given after the commit that holds content,
message, recipients, queue, event and idempotency key together; concurrent callers share that commit. In one query it
also asks who of the recipients is suppressed: they are rejected, as is before that who lacks what a template needs
(`engine.fill`).

Failure policy: when the database is away the caller is told so (`StoreUnavailableError`) and nothing is kept, unless
the connection died during the commit: then only an idempotency key makes the caller's retry safe.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.base.vocab import ContentAction, Stream
from outrider.engine import check, content, kept, refusals, wishes
from outrider.engine.books import AllowedSender, DomainBook, PoolBook, QuotaBook, Rewritten, SenderBook
from outrider.engine.content import Candidate, ContentBook, HeldMail
from outrider.engine.fill import Filler
from outrider.engine.refusals import Refusal
from outrider.engine.settings import EngineSettings
from outrider.engine.submission import Accepted, Attachment, Rejected, ReportsAsked, Submission
from outrider.mail import address
from outrider.mail.address import Address
from outrider.obs.metrics import Metrics
from outrider.policy import quota, retry
from outrider.policy.content import ContentVerdict
from outrider.policy.quota import Quota, Wanted
from outrider.store import (
    attachments,
    events,
    idempotency,
    intake,
    lanes,
    messages,
    quotas,
    suppressions,
)
from outrider.store.batch import GroupCommit
from outrider.store.events import Facts
from outrider.store.idempotency import KeyedAnswer
from outrider.store.intake import NewMail, NewRecipient
from outrider.store.lanes import LaneGoneError, LaneKey
from outrider.store.messages import Message
from outrider.store.pool import Store, Tx
from outrider.store.suppressions import Asked, Suppression

SUPPRESSED: Final = "recipient suppressed"  # uSpeedo's word (shared/uspeedo.md 1.3).
_FILE_BYTES_AS_RECIPIENT: Final = 64 * 1024  # Ours: so that a commit of 1,000 holds at most some 60 MB of files.
_FINDS_MAX: Final = 3  # Ours: of lanes that are gone when the mail is to go in; once is rare.
_LANES_KNOWN_MAX: Final = 200_000  # Ours: about 60 MB of lane names; past it the memory starts anew.


class _Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A submission that passed every check."""

    project_id: UUID
    submission: Submission
    sender: AllowedSender
    addresses: Sequence[Address]  # At least one, each once.
    personal: Sequence[bytes | None]  # What the mail of each is filled in with.
    rejected: Sequence[Rejected]
    idempotency_key: str
    request_hash: bytes  # Of the submission, to tell its repeat from another with the same key; b"" without a key.
    quota: Quota | None
    verdict: ContentVerdict | None  # Of its content; None: nobody judged it.


class _Draft(msgspec.Struct, frozen=True):
    """A checked submission, ready to be written."""

    message: Message
    rewritten: Rewritten | None
    body: bytes  # As `kept.body` holds it.
    is_shared: bool  # It shows recipients to each other.
    files: Sequence[tuple[bytes, Attachment]]  # With the hash of their content.
    facts: Mapping[str, str | int]  # The door's, for the event.
    recipients: Sequence[NewRecipient]
    asked: Sequence[Asked]  # As the recipients; who of them gets no mail is found out at the commit.
    answer: Accepted
    keyed: KeyedAnswer | None
    quota: Quota | None
    verdict: ContentVerdict | None
    reports: ReportsAsked | None
    refused: Sequence[Refusal] = ()  # Who of the caller's recipients gets no mail.

    @property
    def is_held(self) -> bool:
        """Its recipients wait for somebody to release them."""
        return self.verdict is not None and self.verdict.action is ContentAction.HOLD


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
        contents: ContentBook | None = None,
        has_links: bool = False,
    ) -> None:
        """`has_links`: what links in our mail lead to can be reached."""
        self._store: Final = store
        self._senders: Final = senders
        self._domains: Final = domains
        self._settings: Final = settings
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._metrics: Final = metrics
        self._write_size: Final = metrics.write_size.labels(station="accept")
        self._pools: Final = pools
        self._quotas: Final = quotas
        self._contents: Final = contents
        self._filler: Final = Filler(clock=clock, has_links=has_links)
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
        try:
            await self._commit.run()
        finally:
            if self._contents is not None:
                await self._contents.close()

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
        is_ours: bool = False,
    ) -> Accepted:
        """Accept the submission: its mail is on disk when this returns.

        Args:
            idempotency_key: the same key with the same submission gets the first answer again and sends nothing, even
                if the submission would be refused by now; "" means none.
            request_hash: SHA-256 of what the caller asked for, where that is less than the submission: a file by its
                URL. b"": the submission's own.
            domains: the sender's domain must be one of these; empty: any that the project may send from.
            is_ours: it is a letter of Outrider itself, such as a notice: nobody judges its content.

        Raises:
            ContentRefusedError: field "content": it looks like junk.
            CallerError: `field` is the Submission's field at fault; "sender" also if its mail would fail DMARC.
                "also_from" for all that "sender" is below, of the address that `public` names.
            ForbiddenError: field "sender": its domain is none of `domains`.
            LimitReachedError: the project's quota does not hold that many recipients.
            NotFoundError: the project may not send as `sender` (unknown, disabled, unverified or somebody else's).
            ForbiddenError: its domain is stopped: its DNS records are gone or wrong.
            ConflictError: the idempotency key was used with another submission.
            BusyError, StoreError: nothing was kept; try again.
        """
        try:
            return await self._accept(
                project_id,
                submission,
                idempotency_key,
                request_hash,
                domains,
                contents=None if is_ours else self._contents,
            )
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
            request_hash = request_hash or kept.request_hash(submission)
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
        *,
        contents: ContentBook | None,
    ) -> Accepted:
        now = self._clock.now()
        check.submission(submission, now=now)
        check.idempotency_key(idempotency_key)
        sender = await self._find_senders(project_id, submission, domains)
        addresses, personal, rejected = await self._read_recipients(submission)
        if not addresses:
            self._metrics.rejected.inc(len(rejected))
            return Accepted(None, 0, tuple(rejected))
        if idempotency_key and not request_hash:
            request_hash = kept.request_hash(submission)
        verdict = None
        if contents is not None:
            shown = self._shown(project_id, submission, sender, addresses[0], personal[0])
            verdict = await content.ask(contents, shown)
        checked = _Checked(
            project_id=project_id,
            submission=submission,
            sender=sender,
            addresses=addresses,
            personal=personal,
            rejected=rejected,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            quota=None if self._quotas is None else await self._quotas.quota_for(project_id),
            verdict=verdict,
        )
        accepted = await self._store_checked(checked)
        if accepted.rejected:
            self._metrics.rejected.inc(len(accepted.rejected))
        return accepted

    async def examine(
        self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()
    ) -> Sequence[Rejected]:
        """Raise what accepting it would before anything is stored; return the recipients that would be rejected."""
        check.submission(submission, now=self._clock.now())
        await self._find_senders(project_id, submission, domains)
        return (await self._read_recipients(submission))[2]

    async def _read_recipients(
        self, submission: Submission
    ) -> tuple[Sequence[Address], Sequence[bytes | None], list[Rejected]]:
        """Return whom it can go to, what fills in the mail of each, and who is rejected. Raises CallerError."""
        found, rejected = check.recipients(submission.recipients)
        if submission.templated is None:
            self._filler.check_links(submission)
            return [one for one, _ in found], (None,) * len(found), rejected
        filled, unfit = await self._filler.try_all(submission, found)
        return [one.address for one in filled], [one.personal for one in filled], rejected + unfit

    async def candidate(
        self, project_id: UUID, submission: Submission, *, domains: Set[str] = frozenset()
    ) -> Candidate:
        """Return what a filter would be shown of a submission that is not sent. Raises as `examine`."""
        check.submission(submission, now=self._clock.now())
        sender = await self._find_senders(project_id, submission, domains)
        addresses, personal, rejected = await self._read_recipients(submission)
        if not addresses:
            raise CallerError(f"No recipient is left: {rejected[0].reason}.", field="recipients")
        return self._shown(project_id, submission, sender, addresses[0], personal[0])

    def _shown(
        self, project_id: UUID, submission: Submission, sender: AllowedSender, to: Address, personal: bytes | None
    ) -> Candidate:
        """Return the mail that stands for all of a submission when its content is judged."""
        filled = None if submission.templated is None else self._filler.fill(submission, personal)
        return content.candidate(project_id, submission, sender, to, filled)

    async def _find_senders(self, project_id: UUID, submission: Submission, domains: Set[str]) -> AllowedSender:
        """Return the sender that signs; whoever else the message says it is from must be allowed, too."""
        sender = await self._find_sender(project_id, submission.sender, submission.stream, domains)
        for text in submission.also_from:
            try:
                other = await self._find_sender(project_id, text, submission.stream, domains)
                if sender.rewritten or other.rewritten:
                    raise ForbiddenError("Of several senders each must be on a domain of the project.")
            except CallerError as error:
                raise type(error)(f"{text}: {error.public}", field="also_from", **error.detail) from error
        return sender

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
        files = [(kept.content_hash(file.content, now), file) for file in submission.attachments]
        body = messages.encode_body(kept.body(submission, files, checked.sender, checked.verdict))
        answer = Accepted(message_id, len(addresses), tuple(checked.rejected))
        return _Draft(
            message=Message(
                message_id=message_id,
                project_id=project_id,
                stream=submission.stream,
                sender=checked.sender.address.text,
                from_name=kept.from_name(submission, checked.sender),
                subject=kept.subject(submission),
                content_hash=kept.content_hash(body, now),
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
                template_id=submission.templated.template_id if submission.templated else "",
                template_number=submission.templated.number if submission.templated else 0,
            ),
            rewritten=checked.sender.rewritten,
            body=body,
            is_shared=bool(submission.shown_to or submission.shown_cc),
            files=files,
            facts=submission.facts,
            recipients=[
                NewRecipient(id_, message_id, project_id, to.text, lane_ids[to.domain], due_at, expires_at, personal)
                for id_, to, personal in zip(recipient_ids, addresses, checked.personal, strict=True)
            ],
            asked=[Asked(project_id, to.key, submission.stream, domain, submission.list_name) for to in addresses],
            answer=answer,
            keyed=_keyed(checked, answer),
            quota=checked.quota,
            verdict=checked.verdict,
            reports=submission.reports,
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
                # With nobody left nothing is done under a key, so it stays free; what was answered before counts.
                writing = [draft.keyed for draft in reversed(drafts) if draft.keyed is not None and draft.recipients]
                first = {(k.project_id, k.idempotency_key): k for k in writing}
                ours = await idempotency.claim(tx, list(first.values()), now=now) if first else set()
                repeats = {pair: first[pair] for pair in ours}
                if others := {(k.project_id, k.idempotency_key) for k in keyed} - ours:
                    repeats |= await idempotency.find(tx, list(others))
            fresh, results = _sort_out(drafts, repeats)
            fresh = [draft for draft in fresh if draft.recipients]
            if any(draft.quota is not None for draft in fresh):
                fresh, results = await self._charge(tx, fresh, results, now=now)
            if fresh:
                if files := {(d.message.project_id, key): one.content for d in fresh for key, one in d.files}:
                    await attachments.insert(tx, [(*key, octets) for key, octets in files.items()], now=now)
                await intake.insert(tx, [NewMail(d.message, d.body, d.recipients, _facts(d)) for d in fresh], now=now)
                if told := [one for d in fresh if d.refused for one in refusals.told(d.message, d.refused)]:
                    await events.append(tx, told)
                if asked := [_heard(d, d.reports) for d in fresh if d.reports is not None]:
                    await wishes.write(tx, asked, partial(self._new_ids, now))
                if held := [_held(d) for d in fresh if d.is_held]:
                    await content.hold(tx, held, self._new_ids(now, len(held)), now=now)
                lane_ids = {to.lane_id for d in fresh for to in d.recipients}
                await lanes.touch(tx, list(lane_ids), due_at=min(to.due_at for d in fresh for to in d.recipients))
        self._write_size.observe(sum(len(d.recipients) for d in fresh))
        # Once a commit: counting is a write to a mapped file, and asks the kernel who we are.
        self._metrics.accepted.inc(sum(one.recipient_count for one in results if isinstance(one, Accepted)))
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


def _weigh(draft: _Draft) -> int:
    """Recipients, and what is large as what it costs a commit beside them."""
    size_bytes = len(draft.body) + sum(len(file.content) for _, file in draft.files)
    return len(draft.recipients) + size_bytes // _FILE_BYTES_AS_RECIPIENT


def _heard(draft: _Draft, reports: ReportsAsked) -> wishes.Asked:
    return wishes.Asked(reports, draft.message, draft.recipients, draft.answer.rejected)


def _held(draft: _Draft) -> HeldMail:
    assert draft.verdict is not None
    message = draft.message
    return HeldMail(message.message_id, message.project_id, message.subject, draft.recipients, draft.verdict)


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
    """Return the draft without the recipients that get no mail from the project; they are rejected, and not shown."""
    pairs = list(zip(draft.recipients, draft.asked, strict=True))
    left = [to for to, asked in pairs if asked not in suppressed]
    if len(left) == len(pairs):
        return draft
    refused = [Refusal(to.address, suppressed[asked]) for to, asked in pairs if asked in suppressed]
    rejected = [Rejected(one.address, SUPPRESSED) for one in refused]
    session_id = draft.answer.session_id if left else None
    answer = Accepted(session_id, len(left), (*draft.answer.rejected, *rejected))
    body, message = draft.body, msgspec.structs.replace(draft.message, recipient_count=len(left))
    if draft.is_shared:
        body = kept.unshown(body, {asked.address_key for asked in draft.asked if asked in suppressed})
        message = msgspec.structs.replace(message, content_hash=kept.content_hash(body, message.accepted_at))
    return msgspec.structs.replace(
        draft,
        message=message,
        body=body,
        recipients=left,
        asked=[asked for asked in draft.asked if asked not in suppressed],
        answer=answer,
        keyed=msgspec.structs.replace(draft.keyed, answer=_encode(answer)) if draft.keyed else None,
        refused=refused,
    )


def _facts(draft: _Draft) -> Facts:
    """What the event of its acceptance says."""
    facts: dict[str, str | int | float | bool] = {
        **draft.facts,
        "recipient_count": draft.message.recipient_count,
        "rejected_count": len(draft.answer.rejected),
    }
    if draft.rewritten is not None:
        facts |= {
            "from": draft.message.sender,
            "from_given": draft.rewritten.address.text,
            "from_reason": draft.rewritten.reason,
        }
    if draft.verdict is not None:
        facts |= content.facts_of(draft.verdict)
    return facts
