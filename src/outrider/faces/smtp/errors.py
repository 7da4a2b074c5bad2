"""What SMTP clients hear of an error: code and enhanced code of `base.errors`, and the header field at fault.

The one table of this face. A client shows its user little more than this line, so it says what to change.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from outrider.base.errors import CallerError, LimitReachedError, OutriderError, StoreError
from outrider.engine.submission import Rejected

_CHARS_MAX: Final = 400  # Ours: RFC 5321 §4.5.3.1.5 says 512 with code and CRLF.
_SHOWN_COUNT_MAX: Final = 3  # Ours: rejected recipients that are named.
# From the engine's names to those of the header.
_FIELDS: Final[Mapping[str, str]] = {
    "sender": "From",
    "also_from": "From or Sender",
    "from_name": "From",
    "subject": "Subject",
    "reply_to": "Reply-To",
    "stream": "X-Outrider-Stream",
    "tags": "X-Outrider-Tag",
    "metadata": "X-Outrider-Metadata",
    "template": "X-Outrider-Template",
    "variables": "X-Outrider-Variables",
    "locale": "X-Outrider-Locale",
    "send_at": "X-Outrider-Send-At",
    "expires_s": "X-Outrider-Expires",
    "pool": "X-Outrider-Pool",
    "campaign": "X-Outrider-Campaign",
    "list_name": "X-Outrider-List",
    "idempotency_key": "X-Outrider-Idempotency-Key",
}
# Where a field at fault has a code of its own. RFC 3463, and RFC 5321 §6.3 for loops.
_CODES: Final[Mapping[str, str]] = {
    "Received": "554 5.4.6",
    "From": "550 5.7.1",
    "sender": "550 5.7.1",
    "also_from": "550 5.7.1",
}


def reply(error: OutriderError) -> str:
    """Return the reply to whatever the error ended."""
    field = error.field if isinstance(error, CallerError) else ""
    code = _CODES.get(field, error.smtp)
    if isinstance(error, StoreError):
        return f"{code} The mail could not be stored; try again later"
    name = _FIELDS.get(field.partition("[")[0].partition(".")[0], field if field[:1].isupper() else "")
    return _line(code, f"{name}: {error.public}" if name and not error.public.startswith(name) else error.public)


def rate_reply(error: LimitReachedError) -> str:
    """Return the reply to a transaction that comes too soon; a quota, which only days mend, is `reply`'s."""
    return _line("451 4.7.1", error.public)


def login_reply(error: OutriderError) -> str:
    """Return the reply to AUTH. Source: RFC 4954 §6."""
    if isinstance(error, StoreError):
        return "454 4.7.0 Nobody can tell now who you are; try again later"
    return _line("535 5.7.8", error.public)


def rejected_reply(rejected: Sequence[Rejected]) -> str:
    """Return the reply where nobody was left to send to."""
    return _line("550 5.1.1", f"No recipient was accepted: {_named(rejected)}")


def queued_reply(session: str, rejected: Sequence[Rejected]) -> str:
    """Return the reply to an accepted message; who was rejected at the end is in it, as SMTP has no other place."""
    words = f"queued as {session}"
    return _line("250 2.0.0", f"{words}; without {len(rejected)} rejected: {_named(rejected)}" if rejected else words)


def _named(rejected: Sequence[Rejected]) -> str:
    shown = ", ".join(f"{one.address} ({one.reason})" for one in rejected[:_SHOWN_COUNT_MAX])
    return shown if len(rejected) <= _SHOWN_COUNT_MAX else f"{shown}, ..."


def _line(code: str, words: str) -> str:
    return f"{code} {' '.join(words.split())}"[:_CHARS_MAX]
