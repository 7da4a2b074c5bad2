"""What an SMTP client hears of an error: one line, with the code of the table and the field to change."""

import pytest

from outrider.base.errors import (
    BusyError,
    CallerError,
    ConflictError,
    ContentRefusedError,
    ForbiddenError,
    LimitReachedError,
    NotFoundError,
    OutriderError,
    StoreUnavailableError,
    TooLargeError,
    UnauthenticatedError,
)
from outrider.engine.submission import Rejected
from outrider.faces.smtp import errors


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (CallerError("It is empty.", field="subject"), "550 5.6.0 Subject: It is empty."),
        (CallerError("Too long.", field="tags[2]"), "550 5.6.0 X-Outrider-Tag: Too long."),
        (CallerError("Too long.", field="metadata.order"), "550 5.6.0 X-Outrider-Metadata: Too long."),
        (CallerError("It is yes or no.", field="X-PM-TrackOpens"), "550 5.6.0 X-PM-TrackOpens: It is yes or no."),
        (CallerError("From cannot be read.", field="From"), "550 5.7.1 From cannot be read."),
        (CallerError("This mail goes round.", field="Received"), "554 5.4.6 Received: This mail goes round."),
        (CallerError("1 recipient.", field="recipients"), "550 5.6.0 1 recipient."),
        (NotFoundError("No such sender.", field="sender"), "550 5.7.1 From: No such sender."),
        (NotFoundError("No such pool.", field="pool"), "550 5.1.0 X-Outrider-Pool: No such pool."),
        (NotFoundError("No such template.", field="template"), "550 5.1.0 X-Outrider-Template: No such template."),
        (ForbiddenError("Not from there.", field="sender"), "550 5.7.1 From: Not from there."),
        (
            ForbiddenError("a@b.example: Not from there.", field="also_from"),
            "550 5.7.1 From or Sender: a@b.example: Not from there.",
        ),
        (ConflictError("Used.", field="idempotency_key"), "550 5.6.0 X-Outrider-Idempotency-Key: Used."),
        (TooLargeError("Too large.", field="content"), "552 5.3.4 Too large."),
        (ContentRefusedError("It looks like junk.", field="content"), "550 5.7.1 It looks like junk."),
        (LimitReachedError("The quota is used up.", retry_after_s=9), "452 4.5.3 The quota is used up."),
        (BusyError("Stopping."), "451 4.3.2 Stopping."),
        (StoreUnavailableError("host db.internal is away"), "451 4.3.0 The mail could not be stored; try again later"),
        (CallerError("Two\r\n250 lines"), "550 5.6.0 Two 250 lines"),
    ],
)
def test_each_error_is_one_line(error: OutriderError, reply: str) -> None:
    assert errors.reply(error) == reply


def test_a_line_is_never_too_long() -> None:
    assert len(errors.reply(CallerError("x" * 5000))) == 400


def test_logins() -> None:
    assert errors.login_reply(UnauthenticatedError("Not valid.")) == "535 5.7.8 Not valid."
    assert errors.login_reply(StoreUnavailableError("away")).startswith("454 4.7.0 ")
    assert errors.rate_reply(LimitReachedError("2 a minute.", retry_after_s=3)) == "451 4.7.1 2 a minute."


def test_rejected_recipients_are_named_as_far_as_there_is_room() -> None:
    gone = [Rejected(f"u{number}@b.example", "recipient suppressed") for number in range(5)]
    assert errors.queued_reply("id", ()) == "250 2.0.0 queued as id"
    reply = errors.queued_reply("id", gone)
    assert reply.startswith("250 2.0.0 queued as id; without 5 rejected: u0@b.example (recipient suppressed), ")
    assert reply.endswith("u2@b.example (recipient suppressed), ...")
    assert errors.rejected_reply(gone[:1]).endswith("accepted: u0@b.example (recipient suppressed)")
