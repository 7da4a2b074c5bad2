r"""Judges what mail says before it is accepted: asks the operator's junk filter, runs the lint, applies the policy.

    Candidate --compose--> message --ask--> rspamd's score   \
              --lint-----> faults                              >  policy.content.judge --> ContentVerdict
              its project's policy over the installation's    /

A message that came whole is shown as it came, and opened for the lint.

A policy is that of [content], with what the project says instead; where [content] does not let projects decide, only an
operator changes it. What the same sender says again is not asked for again within `[content] kept_s`; those who ask at
the same moment share one question. The verdict is made anew each time, so that a changed policy counts within a second.

Failure policy: a filter that does not answer is judged by the policy's `when_down`, counted, and told in the log once a
minute at most. Nothing here raises for it.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ForbiddenError
from outrider.base.vocab import ContentAction, Stream
from outrider.engine.content import Candidate
from outrider.mail import build, dkim, mailbox, parse
from outrider.mail.mime import File
from outrider.mail.parse import Parsed
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy import content as policy_content
from outrider.policy import lint
from outrider.policy.content import ContentPolicy, ContentVerdict, Threshold, WhenDown
from outrider.policy.lint import Fault
from outrider.services.settings import ContentSettings
from outrider.store import projects
from outrider.store.pool import Store, Tx
from outrider.store.recent import Recent
from outrider.wire.answer import Cause
from outrider.wire.rspamd import Question, Score

__all__ = ["ContentChecks", "ContentPolicy", "ContentVerdict", "OwnPolicy", "PolicyView"]  # With records met here.

_FRESH_S: Final = 0.5  # As senders and keys.
_SCORES_COUNT_MAX: Final = 2000  # Ours: kept; about 2 KB each.
_LOGGED_EVERY_S: Final = 60.0
_THREAD_BYTES: Final = 256 * 1024  # Ours: composing that takes under 2 ms.
_NO_TEXT: Final = "(none)"  # Stands where a mail must have some text.
# Fields that a message has anew each time, and those that say who gets it.
_NEW_IN_EACH: Final = frozenset({b"received", b"date", b"message-id", b"to", b"cc"})


class Unscored(Protocol):
    """Why there is no score (`net.rspamd.Silence`)."""

    @property
    def cause(self) -> Cause:
        """In a word."""

    @property
    def said(self) -> str:
        """For the operator."""


class Scanner(Protocol):
    """Who gives scores (`net.rspamd.RspamdClient`)."""

    async def ask(self, question: Question, message: bytes) -> "Score | Unscored":
        """Return the score, or why there is none. Never raises for what the filter does."""

    async def close(self) -> None:
        """Let go of connections."""


class OwnPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a project says of its content itself; None: as the installation does."""

    tag_score: Threshold | None = None
    hold_score: Threshold | None = None
    refuse_score: Threshold | None = None
    when_down: WhenDown | None = None
    lint_errors: ContentAction | None = None
    lint_warnings: ContentAction | None = None


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """A project's policy: what counts, and what of that it has said itself."""

    counts: ContentPolicy
    own: OwnPolicy
    has_filter: bool  # There is a junk filter to ask.
    is_on: bool  # Whether mail is judged at all when it is handed in.
    is_open: bool  # The project may change it, and release what is held.


class _Unanswered(Exception):
    """The filter gave no score."""


class ContentChecks:
    """Judges content; the engine's `ContentBook`."""

    def __init__(
        self,
        store: Store,
        settings: ContentSettings,
        scanner: Scanner | None,
        *,
        clock: Clock,
        metrics: Metrics,
        logger: Logger,
    ) -> None:
        """`scanner` None: there is no junk filter, and the lint alone judges."""
        self._store: Final = store
        self._settings: Final = settings
        self._scanner: Final = scanner
        self._clock: Final = clock
        self._metrics: Final = metrics
        self._logger: Final = logger
        self._default: Final = settings.policy()
        self._policies: Final = Recent[UUID, OwnPolicy](self._read_policy, clock=clock, fresh_s=_FRESH_S)
        self._scores: Final = Recent[bytes, Score](
            self._score, clock=clock, fresh_s=settings.kept_s, count_max=_SCORES_COUNT_MAX
        )
        self._asking: Final[dict[bytes, list[Candidate]]] = {}
        self._logged_s = -_LOGGED_EVERY_S

    @property
    def is_on(self) -> bool:
        """Whether anything is to be judged when mail is handed in; else nobody need ask."""
        return self._scanner is not None or self._default.has_lint

    async def judge(self, candidate: Candidate) -> ContentVerdict:
        """Return what becomes of a mail that is handed in. Raises StoreError: the policy cannot be read."""
        policy = _merged(self._default, await self._policies.get(candidate.project_id))
        faults = await self._lint(candidate) if policy.has_lint else ()
        verdict = policy_content.judge(
            policy, score=await self._score_of(candidate), is_asked=self._scanner is not None, faults=faults
        )
        self._metrics.content_checks.labels(verdict.action.value, verdict.cause.value or "none").inc()
        return verdict

    async def check(self, candidate: Candidate) -> ContentVerdict:
        """Return what would become of it, with all that the lint finds. Raises StoreError."""
        policy = _merged(self._default, await self._policies.get(candidate.project_id))
        return policy_content.judge(
            policy,
            score=await self._score_of(candidate),
            is_asked=self._scanner is not None,
            faults=await self._lint(candidate),
        )

    async def check_message(self, project_id: UUID, message: bytes, *, stream: Stream) -> ContentVerdict:
        """Return what would become of a whole message, as a file holds it; as `check`. Nothing of it is kept."""
        policy = _merged(self._default, await self._policies.get(project_id))
        parsed = await asyncio.to_thread(parse.parse, message)
        score = None
        if self._scanner is not None:
            question = Question(sender=_bare(parsed.sender), recipient=_bare(parsed.to), user=str(project_id))
            score = _scored(await self._scanner.ask(question, message))
        faults = await asyncio.to_thread(_faults, parsed, parsed.subject, stream)
        return policy_content.judge(policy, score=score, is_asked=self._scanner is not None, faults=faults)

    async def policy(self, project_id: UUID) -> PolicyView:
        """Return the project's policy."""
        own = await self._read_policy(project_id)
        return PolicyView(
            counts=_merged(self._default, own),
            own=own,
            has_filter=self._scanner is not None,
            is_on=self.is_on,
            is_open=self._settings.projects_decide,
        )

    async def change(self, tx: Tx, project_id: UUID, changes: Mapping[str, Any], *, by_operator: bool = False) -> None:
        """Change what the project says itself; a field that is None is the installation's again. Counts within 1 s.

        Args:
            changes: by the names of `OwnPolicy`; what is not there stays.

        Raises:
            CallerError: field "content"; a value that cannot be.
            ForbiddenError: only an operator may.
        """
        if not by_operator:
            self.require_open()
        await projects.lock(tx, project_id)  # So that two changes of other fields both count.
        known = _decode(await projects.content_policy_of(tx, project_id))
        own = _checked({**msgspec.structs.asdict(known), **changes})
        await projects.set_content_policy(tx, project_id, msgspec.json.encode(own).decode())

    def require_open(self) -> None:
        """Raise ForbiddenError where projects may not decide about their content."""
        if not self._settings.projects_decide:
            raise ForbiddenError("Only the operator decides about content here.", field="content")

    async def close(self) -> None:
        """Let go of connections; the next question opens new ones. Safe twice."""
        if self._scanner is not None:
            await self._scanner.close()

    async def _read_policy(self, project_id: UUID) -> OwnPolicy:
        async with self._store.transaction() as tx:
            return _decode(await projects.content_policy_of(tx, project_id))

    async def _score_of(self, candidate: Candidate) -> Score | None:
        """Return the filter's score, None if there is none. Those who ask for the same at once share one question."""
        if self._scanner is None:
            return None
        files_bytes_max = self._settings.scan_bytes_max
        files_bytes = sum(len(file.content) for file in candidate.attachments)
        if files_bytes > files_bytes_max:
            candidate = msgspec.structs.replace(candidate, attachments=())
        if candidate.raw is not None and len(candidate.raw) > files_bytes_max:
            candidate = await asyncio.to_thread(_bounded, candidate, files_bytes_max, self._clock.now())
        # A hash of megabytes takes milliseconds, and so does base64.
        parts = (candidate.html, candidate.text, candidate.raw)
        is_large = files_bytes + sum(len(part) for part in parts if part) > _THREAD_BYTES
        digest = await asyncio.to_thread(_digest, candidate) if is_large else _digest(candidate)
        waiting = self._asking.setdefault(digest, [])
        waiting.append(candidate)
        try:
            return await self._scores.get(digest)
        except _Unanswered:
            return None
        finally:
            waiting.pop()
            if not waiting:
                self._asking.pop(digest, None)

    async def _score(self, digest: bytes) -> Score:
        """Ask. Raises _Unanswered."""
        assert self._scanner is not None
        candidate, at = self._asking[digest][-1], self._clock.now()
        message = await asyncio.to_thread(_compose, candidate, digest, at)
        question = Question(sender=candidate.sender.text, recipient=candidate.to.text, user=str(candidate.project_id))
        started_s = self._clock.monotonic_s()
        answer = await self._scanner.ask(question, message)
        if isinstance(answer, Score):
            self._metrics.content_time.observe(self._clock.monotonic_s() - started_s)
            return answer
        self._metrics.content_silences.labels(answer.cause.value).inc()
        if self._clock.monotonic_s() - self._logged_s >= _LOGGED_EVERY_S:
            self._logged_s = self._clock.monotonic_s()
            self._logger.warning("junk_filter_silent", cause=answer.cause.value, said=answer.said)
        raise _Unanswered

    async def _lint(self, candidate: Candidate) -> Sequence[Fault]:
        if candidate.raw is not None:
            return await asyncio.to_thread(_faults_of_whole, candidate)
        has_unsubscribe = candidate.has_link_to_leave or any(
            name.lower() == "list-unsubscribe" for name, _ in candidate.headers
        )
        return await asyncio.to_thread(
            lint.check,
            subject=candidate.subject,
            html=candidate.html,
            text=candidate.text,
            stream=candidate.stream,
            has_unsubscribe=has_unsubscribe,
        )


def _compose(candidate: Candidate, digest: bytes, at: datetime) -> bytes:
    """Return the message as its recipient would get it, but for what is added when it leaves."""
    if candidate.raw is not None:
        return candidate.raw
    draft = build.compose(
        sender=candidate.sender,
        from_name=candidate.from_name,
        subject=candidate.subject,
        text=candidate.text or (None if candidate.html or candidate.attachments else _NO_TEXT),  # Files were left out.
        html=candidate.html,
        date=at,
        reply_to=[mailbox.parse(text) for text in candidate.reply_to],
        shown_to=[mailbox.parse(text) for text in candidate.shown_to],
        shown_cc=[mailbox.parse(text) for text in candidate.shown_cc],
        extra=candidate.headers,
        files=[File(file.name, file.type, file.content, file.content_id) for file in candidate.attachments],
    )
    own = draft.fields_for(candidate.to, f"{digest[:16].hex()}@{candidate.sender.domain}")
    return b"".join((*own, *draft.fields, b"\r\n", draft.body))


def _faults_of_whole(candidate: Candidate) -> Sequence[Fault]:
    assert candidate.raw is not None
    return _faults(_opened(candidate.raw), candidate.subject, candidate.stream)


def _opened(message: bytes) -> Parsed:
    """Return what is in it, its HTML up to what the API would take."""
    shown = parse.parse(message)
    if shown.html is None or len(shown.html) <= limits.CONTENT_BYTES_MAX:
        return shown
    return msgspec.structs.replace(shown, html=shown.html[: limits.CONTENT_BYTES_MAX], is_cut=True)


def _faults(shown: Parsed, subject: str, stream: Stream) -> Sequence[Fault]:
    return lint.check(
        subject=subject,
        html=shown.html,
        text=shown.text,
        stream=stream,
        has_unsubscribe=bool(shown.first("list-unsubscribe")),
    )


def _bounded(candidate: Candidate, files_bytes_max: int, at: datetime) -> Candidate:
    """Return a message that came whole without what is too large, its files first: its own header around its texts."""
    assert candidate.raw is not None
    shown = _opened(candidate.raw)
    if not shown.is_whole:
        return msgspec.structs.replace(candidate, raw=candidate.raw[: max(files_bytes_max, _THREAD_BYTES)])
    if sum(file.size_bytes for file in shown.attachments) <= files_bytes_max and not shown.is_cut:
        return candidate
    text = shown.text or (None if shown.html else _NO_TEXT)
    draft = build.compose(sender=candidate.sender, from_name="", subject=_NO_TEXT, text=text, html=shown.html, date=at)
    fields = [field for field in dkim.split(candidate.raw)[0] if not _is_of_body(field)]
    fields += [field for field in draft.fields if _is_of_body(field)]
    return msgspec.structs.replace(candidate, raw=b"".join((*fields, b"\r\n", draft.body)))


def _is_of_body(field: bytes) -> bool:
    """Whether a header field says how the body is to be read."""
    return field[:13].lower().startswith((b"content-", b"mime-version"))


def _digest_of_whole(candidate: Candidate) -> bytes:
    """Tell a message that came whole from others, but for what is new in each: its trace, date and id."""
    assert candidate.raw is not None
    fields, body = dkim.split(candidate.raw)
    own = [field for field in fields if field.partition(b":")[0].lower() not in _NEW_IN_EACH]
    hashed = hashlib.sha256(msgspec.msgpack.encode((candidate.project_id, candidate.stream, own)))
    hashed.update(body)
    return hashed.digest()


def _digest(candidate: Candidate) -> bytes:
    """Tell this content from others. Whoever gets it does not count: the same to another is judged alike."""
    if candidate.raw is not None:
        return _digest_of_whole(candidate)
    hashed = hashlib.sha256()
    said = (
        candidate.project_id,
        candidate.stream,
        candidate.sender.text,
        candidate.from_name,
        candidate.subject,
        candidate.text,
        candidate.html,
        candidate.reply_to,
        candidate.headers,
        [(file.name, file.type, file.content_id) for file in candidate.attachments],
    )
    hashed.update(msgspec.msgpack.encode(said))
    for file in candidate.attachments:
        hashed.update(hashlib.sha256(file.content).digest())
    return hashed.digest()


def _merged(default: ContentPolicy, own: OwnPolicy) -> ContentPolicy:
    said = {name: value for name, value in msgspec.structs.asdict(own).items() if value is not None}
    return msgspec.structs.replace(default, **said) if said else default


def _decode(text: str) -> OwnPolicy:
    return msgspec.json.decode(text.encode(), type=OwnPolicy)


def _checked(values: Mapping[str, object]) -> OwnPolicy:
    try:
        return msgspec.convert(values, OwnPolicy)
    except msgspec.ValidationError as error:
        raise CallerError(f"That is no policy for content: {error}.", field="content") from error


def _bare(field: str) -> str:
    """Return the address of a field, as far as it has one that can be told."""
    try:
        return mailbox.parse(field.partition(",")[0]).address.text
    except CallerError:
        return ""


def _scored(answer: "Score | Unscored") -> Score | None:
    return answer if isinstance(answer, Score) else None
