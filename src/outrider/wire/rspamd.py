"""What rspamd is asked about a message, and what it answers: the HTTP protocol of `/checkv2`. Pure.

    Question --fields--> header fields of the request; the message itself is its body
    body of the answer --read--> Score

`User` says that the sender is known to us, so that rspamd judges it as mail that goes out and does not look for what is
added later: our signature, the address we send from. `is_skipped` of an answer says nothing: it is true of GTUBE, whose
action is "reject", since no rule had to look at it. Nothing of the answer is believed before it is read: it is bounded
in what is kept of it, texts are made printable, and numbers that are none make it a broken answer.

Source: rspamd's documentation, "Protocol" (docs.rspamd.com/developers/protocol, read 2026-11).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from outrider.base.errors import RemoteProtocolError

PATH: Final = "/checkv2"
PING_PATH: Final = "/ping"
PONG: Final = b"pong"
_SYMBOLS_COUNT_MAX: Final = 100  # Ours: kept, those that weigh most; a message has some 20.
_NAME_CHARS_MAX: Final = 64
_WORDS_CHARS_MAX: Final = 200


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is said beside the message."""

    sender: str  # Of the envelope.
    recipient: str
    user: str = ""  # Whose mail it is: "" for mail of strangers, which is judged by where it comes from too.


class Symbol(msgspec.Struct, frozen=True):
    """A rule that saw something."""

    name: str
    score: float  # Below 0: it speaks for the message.
    words: str = ""  # What it looks for, in rspamd's words.


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What rspamd makes of a message."""

    score: float
    required: float  # From which score on it is refused, by rspamd's own settings.
    action: str  # Its own word: "no action", "greylist", "add header", "rewrite subject", "soft reject", "reject".
    symbols: Sequence[Symbol] = ()  # Those that weigh most first, names once each.
    words: str = ""  # What it would tell an SMTP client.


class _Symbol(msgspec.Struct, frozen=True):
    name: str = ""
    score: float = 0.0
    metric_score: float | None = None
    description: str | None = None


class _Reply(msgspec.Struct, frozen=True):
    score: float
    action: str
    required_score: float = 0.0
    symbols: dict[str, _Symbol] = {}
    messages: Any = None  # A table, or an empty list: Lua cannot tell.


_decode: Final = msgspec.json.Decoder(_Reply, strict=True).decode


def fields(question: Question, *, password: str = "") -> Mapping[str, str]:
    """Return the header fields of the request. `password` is for a controller; a normal worker asks for none."""
    found = {"From": question.sender, "Rcpt": question.recipient}
    if question.user:
        found["User"] = question.user
    if password:
        found["Password"] = password
    assert not any(char in value for value in found.values() for char in "\r\n\0")
    return found


def read(octets: bytes) -> Score:
    """Read the body of an answer.

    Raises:
        RemoteProtocolError: it is no answer to `/checkv2`.
    """
    try:
        reply = _decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError("rspamd's answer cannot be read.", cause=str(error)) from error
    scores = [reply.score, reply.required_score, *(_weight(one) for one in reply.symbols.values())]
    if not all(math.isfinite(score) for score in scores):
        raise RemoteProtocolError("rspamd's answer has a score that is no number.")
    symbols = [
        Symbol(plain(name, _NAME_CHARS_MAX), _weight(one), plain(one.description or "", _WORDS_CHARS_MAX))
        for name, one in reply.symbols.items()
    ]
    symbols.sort(key=lambda one: (-abs(one.score), one.name))
    said = reply.messages.get("smtp_message") if isinstance(reply.messages, dict) else None
    return Score(
        score=reply.score,
        required=reply.required_score,
        action=plain(reply.action, _NAME_CHARS_MAX),
        symbols=symbols[:_SYMBOLS_COUNT_MAX],
        words=plain(said, _WORDS_CHARS_MAX) if isinstance(said, str) else "",
    )


def plain(text: str, chars_max: int) -> str:
    """Return the text as it may be shown: one line, without what a terminal obeys, cut."""
    return "".join(char if char.isprintable() else " " for char in text[:chars_max]).strip()


def _weight(symbol: _Symbol) -> float:
    return symbol.score if symbol.metric_score is None or symbol.score else symbol.metric_score
