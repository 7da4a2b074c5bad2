"""From a transaction of SMTP to a `Submission`, and what its client hears.

    Handed (who, envelope, octets) --Desk.take--> "250 2.0.0 queued as ..." or why not

One transaction is one submission and one commit. The message goes as it came, its header put right (`mail.repair`);
with a template only its sender, subject, answers' address and recipients count. The envelope's sender is the client's
own matter: what comes back goes to our return path, so it is kept in the event of acceptance as it was said; cron and
its like say `root@myhost`. It is read only where a report would go there.

Of DSN (RFC 3461), RET and ENVID are kept there, too; what NOTIFY asks for is handed on with each recipient
(`services.status_reports` writes the reports). The null sender gets none, whatever it asks for; nor does one that no
mail can reach.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, OutriderError
from outrider.engine.books import Accept
from outrider.engine.submission import Accepted, Personal, ReportsAsked, ReportWish, Submission, Templated
from outrider.faces.smtp import errors
from outrider.mail import address, controls, dsn, encode, repair, roll
from outrider.mail.controls import Controls
from outrider.mail.repair import Repaired
from outrider.obs.log import Logger
from outrider.services.access import Caller
from outrider.wire.smtp_server import Mail, Message, Rcpt

_OFF_LOOP_BYTES_MIN: Final = 256 * 1024  # Ours: as many octets take 2 ms to look through.


class FindTemplate(Protocol):
    """A project's templates, as they are sent (`services.templates`)."""

    async def __call__(self, project_id: UUID, template: str) -> Templated:
        """Return the published version of the template with this id or name.

        Raises:
            NotFoundError, CallerError: field "template": there is none such, or it may not be sent now.
        """


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that is whole."""

    caller: Caller
    mail: Mail
    recipients: Sequence[Rcpt]
    message: Message
    client: str  # Its address.
    protocol: str  # For Received: "ESMTPSA" and its like, RFC 3848.


class Desk:
    """Takes transactions."""

    def __init__(
        self,
        accept: Accept,
        find_template: FindTemplate,
        *,
        host_name: str,
        is_strict: bool,
        clock: Clock,
        random_bits: Callable[[int], int],
        log: Logger,
        reports_failures: bool = False,
    ) -> None:
        """`is_strict`: a line that does not end in CRLF is refused; else it is mended.

        `reports_failures`: of recipients without NOTIFY failures are reported.
        """
        self._accept: Final = accept
        self._find_template: Final = find_template
        self._host_name: Final = host_name
        self._is_strict: Final = is_strict
        self._clock: Final = clock
        self._random_bits: Final = random_bits
        self._log: Final = log
        self._reports_failures: Final = reports_failures

    async def take(self, handed: Handed) -> str:
        """Return the reply to the message: 250 once it is on disk."""
        try:
            accepted = await self._take(handed)
        except OutriderError as error:
            self._log.info("mail_refused", error=type(error).__name__, reason=error.public, detail=str(error.detail))
            return errors.reply(error)
        if accepted.session_id is None:
            return errors.rejected_reply(accepted.rejected)
        return errors.queued_reply(str(accepted.session_id), accepted.rejected)

    async def _take(self, handed: Handed) -> Accepted:
        if handed.message.has_bare_line_end and self._is_strict:
            raise CallerError("A CR or LF stands alone; lines end in CRLF.")
        if len(handed.message.content) < _OFF_LOOP_BYTES_MIN:
            repaired = self._repaired(handed)
        else:
            repaired = await asyncio.to_thread(self._repaired, handed)
        told = controls.read(repaired.controls)
        if told.template:
            templated = await self._find_template(handed.caller.project_id, told.template)
            submission = _from_template(handed, repaired, told, templated)
        else:
            if told.variables or told.locale:
                raise CallerError("There is no template that they are for.", field="X-Outrider-Template")
            submission = _as_it_came(handed, repaired, told)
        asked = _reports(handed, is_failure_told=self._reports_failures)
        return await self._accept(
            handed.caller.project_id,
            submission if asked is None else msgspec.structs.replace(submission, reports=asked),
            idempotency_key=told.idempotency_key,
            request_hash=_hash(submission) if told.idempotency_key else b"",
            domains=handed.caller.domains,
        )

    def _repaired(self, handed: Handed) -> Repaired:
        content, now = handed.message.content, self._clock.now()
        if handed.message.has_bare_line_end:
            content = encode.with_crlf(content)
        trace_id = f"{self._random_bits(64):016x}"
        return repair.repair(
            content,
            trace=repair.received(self._host_name, handed.protocol, trace_id, now),
            at=now,
            id_left=f"{self._random_bits(128):032x}",
        )


def _as_it_came(handed: Handed, repaired: Repaired, told: Controls) -> Submission:
    return msgspec.structs.replace(
        _shared(handed, repaired, told),
        subject=repaired.subject[: limits.SUBJECT_CHARS_MAX].strip(),
        raw=repaired.content,
        also_from=tuple([one.text for one in repaired.also_from]),
    )


def _from_template(handed: Handed, repaired: Repaired, told: Controls, templated: Templated) -> Submission:
    if repaired.also_from:
        raise CallerError("With a template a mail has one sender, and no Sender field.", field="From")
    personal = Personal(told.variables, told.locale)
    return msgspec.structs.replace(
        _shared(handed, repaired, told),
        templated=templated,
        personal=(personal,) * len(handed.recipients),
        reply_to=tuple([box.text for value in repaired.reply_to for box in roll.read(value, field="Reply-To").boxes]),
    )


def _shared(handed: Handed, repaired: Repaired, told: Controls) -> Submission:
    """Return what does not depend on where the content comes from."""
    facts: dict[str, str | int] = {"door": "smtp", "client": handed.client, "envelope_sender": handed.mail.sender}
    asked: dict[str, str | int] = {"envid": dsn.printable(handed.mail.envid), "ret": handed.mail.ret}
    facts |= {name: value for name, value in asked.items() if value}
    return Submission(
        sender=repaired.sender.address.text,
        from_name=repaired.sender.name[: limits.FROM_NAME_CHARS_MAX].strip(),
        recipients=tuple([one.address for one in handed.recipients]),
        subject=repaired.subject,
        stream=told.stream,
        campaign=told.campaign,
        list_name=told.list_name,
        tags=tuple(told.tags),
        metadata=told.metadata,
        send_at=told.send_at,
        expires_s=told.expires_s,
        pool=told.pool,
        track_opens=told.track_opens,
        track_clicks=told.track_clicks,
        facts=facts,
    )


def _reports(handed: Handed, *, is_failure_told: bool) -> ReportsAsked | None:
    """Return the reports by mail that are asked for, None for none. Source: RFC 3461 §4.1, §5.2.1."""
    default = frozenset(["FAILURE"] if is_failure_told else [])
    wanted = [(one, (one.notify or default) - {"NEVER"}) for one in handed.recipients]
    # What is decoded of xtext may be any character; what is no address is left out.
    wishes = [
        ReportWish(one.address, tuple(sorted(kinds)), dsn.address_in(dsn.printable(one.original)))
        for one, kinds in wanted
        if kinds
    ]
    return_to = _reachable(handed.mail.sender)
    if not wishes or not return_to:
        return None
    return ReportsAsked(
        return_to=return_to,
        wishes=tuple(wishes),
        is_full=handed.mail.ret == "FULL",
        envelope_id=dsn.printable(handed.mail.envid),
    )


def _reachable(sender: str) -> str:
    """Return the address a report can go to, "" for none: the null sender, or the name of a machine."""
    try:
        return address.parse(sender).text
    except CallerError:
        return ""


def _hash(submission: Submission) -> bytes:
    """Tell the mail from another with the same idempotency key.

    By what stays when a program makes the mail anew: Date, Message-ID and the boundaries of its parts are others then.
    """
    parts = [submission.sender, submission.subject, *sorted(submission.recipients)]
    return hashlib.sha256(b"smtp\n" + "\n".join(parts).encode("utf-8", "surrogatepass")).digest()
