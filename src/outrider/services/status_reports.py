"""Delivery reports by mail, for whoever asked for them with NOTIFY (RFC 3461): noted, then sent.

    event log --Noter--> a report that waits, in the transaction that moves the cursor --Mailer--> `engine.letters`

A report goes to the sender of the envelope, if it is on a proven domain of the project, and is from a sender of the
project that may send transactional mail. Its own envelope has the null sender, and nobody can ask for a report about
it: so none answers another.

`relayed` is what we say of mail that was taken: the next server was not told of the wish, for its own reports come back
to our return path (RFC 3461 §5.2.2). A failure that is heard of later is reported, too.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import ids, limits
from outrider.base.clock import Clock
from outrider.base.vocab import EventKind, Stream
from outrider.engine.feed import TurnFeed
from outrider.engine.letters import LetterMailer, Send
from outrider.engine.submission import Submission
from outrider.mail import dsn
from outrider.mail.dsn import Diagnosis
from outrider.obs.log import Logger
from outrider.store import messages, status_reports
from outrider.store.events import Event
from outrider.store.messages import Loaded
from outrider.store.pool import Store, Tx
from outrider.store.status_reports import DueReport, NewReport, Wish

CONSUMER: Final = "status_reports"
_LIFE: Final = timedelta(days=2)  # Ours: what nobody could send for so long is only in the events.
_WISH_LIFE: Final = timedelta(days=30)  # Ours: longer than a mail is tried, and bounces come late.
_ROUND_S: Final = 5.0  # Ours.
# What is said of an event, and who has asked for that.
_ACTIONS: Final[Mapping[EventKind, tuple[str, str]]] = {
    EventKind.DELIVERED: ("relayed", "SUCCESS"),
    EventKind.DEFERRED: ("delayed", "DELAY"),
    EventKind.BOUNCED: ("failed", "FAILURE"),
    EventKind.EXPIRED: ("failed", "FAILURE"),
    EventKind.SUPPRESSED: ("failed", "FAILURE"),
    EventKind.BOUNCED_LATE: ("failed", "FAILURE"),
}
_STATUSES: Final[Mapping[str, str]] = {"relayed": "2.0.0", "delayed": "4.0.0", "failed": "5.0.0"}
_SUBJECTS: Final[Mapping[str, str]] = {
    "relayed": "Your mail was handed on",
    "delayed": "Your mail is delayed",
    "failed": "Your mail could not be delivered",
}
_TEXTS: Final[Mapping[str, str]] = {
    "relayed": "This server took your mail, and the next one has accepted it. What becomes of it there is not known.",
    "delayed": "Your mail has not been taken yet. It is tried again; you need not send it once more.",
    "failed": "Your mail did not reach this recipient, and is not tried any more.",
}


class ReportNoter:
    """Makes reports that wait out of events, while `run` runs. Any number of processes may run one."""

    def __init__(
        self, store: Store, *, delay_after_s: float, clock: Clock, random_bits: Callable[[int], int], logger: Logger
    ) -> None:
        """`delay_after_s`: mail that waits is `delayed` once it is so old."""
        self._delay_after: Final = timedelta(seconds=delay_after_s)
        self._random_bits: Final = random_bits
        self._feed: Final = TurnFeed(
            store, CONSUMER, self._handle, is_wanted=status_reports.has_any, clock=clock, logger=logger
        )

    async def run(self) -> None:
        """Note until `stop`."""
        await self._feed.run()

    async def step(self) -> int:
        """Note what is asked of what happened since; return how many events that were. Raises StoreError."""
        return await self._feed.step()

    def stop(self) -> None:
        """Let `run` return."""
        self._feed.stop()

    async def _handle(self, tx: Tx, batch: Sequence[Event]) -> None:
        pairs = [(one.project_id, one.recipient_id) for one in batch if one.kind in _ACTIONS and one.recipient_id]
        if not pairs:
            return
        wished = await status_reports.wished(tx, pairs)
        found: dict[tuple[UUID, str], NewReport] = {}
        for event in batch:
            wish = None if event.recipient_id is None else wished.get(event.recipient_id)
            report = None if wish is None else self._report(event, wish)
            if report is not None:
                found.setdefault((report.recipient_id, report.action), report)
        if found:
            await status_reports.insert(tx, list(found.values()))

    def _report(self, event: Event, wish: Wish) -> NewReport | None:
        """Return what is to be said of the event, None if nobody asked for it."""
        said = _ACTIONS.get(event.kind)
        if said is None or said[1] not in wish.kinds:
            return None
        if event.kind is EventKind.DEFERRED and event.at - wish.wished_at < self._delay_after:
            return None
        return NewReport(
            report_id=ids.uuid4(self._random_bits(128)),
            project_id=event.project_id,
            recipient_id=wish.recipient_id,
            action=said[0],
            reply=event.reply or event.reason,
            host=str(event.facts.get("host") or event.facts.get("remote_mta") or ""),
            at=event.at,
        )


class ReportMailer(LetterMailer[DueReport]):
    """Sends the reports that wait, every `_ROUND_S`. Any number of processes may run one."""

    def __init__(self, store: Store, send: Send, *, host_name: str, clock: Clock, logger: Logger) -> None:
        """`host_name`: who reports."""
        super().__init__(store, send, "status_report", every_s=_ROUND_S, clock=clock, logger=logger)
        self._host_name: Final = host_name

    async def mail(self) -> int:
        """Send what waits and can be sent, forget what is old; return how many were tried. Raises as `LetterMailer`."""
        async with self._store.transaction() as tx:
            await status_reports.forget(tx, before=self._clock.now() - _WISH_LIFE)
        return await super().mail()

    async def due(self, tx: Tx, *, besides: Set[UUID], count_max: int) -> Sequence[DueReport]:
        """As `LetterMailer` asks: those that are not too old to be of use."""
        since = self._clock.now() - _LIFE
        return await status_reports.due(tx, since=since, besides=besides, count_max=count_max)

    async def write(self, waiting: DueReport) -> Submission:
        """As `LetterMailer` asks: a message that is whole already."""
        async with self._store.transaction() as tx:
            loaded = await messages.with_body(tx, waiting.project_id, waiting.message_id)
        raw = await asyncio.to_thread(letter, waiting, loaded, self._host_name)
        return Submission(
            sender=waiting.sender,
            recipients=(waiting.return_to,),
            subject=_SUBJECTS[waiting.action],
            stream=Stream.TRANSACTIONAL,
            raw=raw,
            has_null_sender=True,
            facts={"status_report_of": str(waiting.message_id)},
        )

    async def mark(self, tx: Tx, waiting: DueReport) -> None:
        """As `LetterMailer` asks; what happened is in the events."""
        await status_reports.mark_mailed(tx, waiting.project_id, waiting.report_id, now=self._clock.now())


def letter(report: DueReport, loaded: Loaded | None, host_name: str) -> bytes:
    """Write the report, the same each time. `loaded`: the message it is about; None: that is gone."""
    said = dsn.diagnose(report.reply)
    is_fit = said.status[:1] == _STATUSES[report.action][0] or (report.action == "failed" and said.status)
    diagnosis: Diagnosis = msgspec.structs.replace(
        said,
        address=report.address,
        original_address=report.original,
        action=report.action,
        status=said.status if is_fit else _STATUSES[report.action],
        remote_mta=dsn.printable(report.host),
    )
    is_full = report.is_full and report.action == "failed"  # RFC 3461 §4.3: RET is for failures.
    return dsn.build(
        reporting_mta=host_name,
        sender=f"Mail delivery <{report.sender}>",
        to=report.return_to,
        date=report.at,
        message_id=f"{report.report_id.hex}@{report.sender.rpartition('@')[2]}",
        diagnoses=[diagnosis],
        original=_original(loaded, is_full=is_full),
        envelope_id=report.envelope_id,
        arrived_at=report.wished_at,
        attempted_at=report.at,
        subject=_SUBJECTS[report.action],
        text=f"{_TEXTS[report.action]}\r\n\r\nRecipient: {report.address}\r\n{dsn.printable(report.reply)}".rstrip(),
    )


def _original(loaded: Loaded | None, *, is_full: bool) -> bytes:
    """Return what is given back of the message: all of it, or its header; b"" of one that we made of a template."""
    raw = loaded.body.raw if loaded is not None else None
    if raw is None:
        return b""
    if is_full and len(raw) <= limits.STATUS_REPORT_RETURNED_BYTES_MAX:
        return raw
    return raw.partition(b"\r\n\r\n")[0] + b"\r\n"
