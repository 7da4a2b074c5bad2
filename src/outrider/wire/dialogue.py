"""What was said in an attempt, kept as a short text: how long each step took and what the peer answered to it.

    3 198.51.100.4 TLS_AES_256_GCM_SHA384 - SIZE=3120     message of the connection, our address, cipher, EHLO, MAIL's
    mail 12 250 2.1.0 Ok                                  step, milliseconds, first line of the reply
    rcpt 12 250 2.1.5 Ok
    data 13 ! timeout                                     or why there was none

The first message of a connection has the steps that set it up before its own, and before those the hosts that failed
(`tried`). With PIPELINING the time of a step is from the write of its group. Addresses and the message are not kept:
`transcript` gets them from its caller; nor are secrets, for only what the peer said is kept.

`encode` makes the text from a `Dialogue`; a connection, which cannot afford one for each mail, from `head`, `lines` and
`join`.

Invariants: a text has at most `TEXT_CHARS_MAX` characters, printable but for the line ends; `decode` reads any text
without failing, and gives back what `encode` was given if that was within the bounds.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from outrider.wire.answer import Cause
from outrider.wire.reply import Reply

CONNECT: Final = "connect"  # The TCP connection.
TRIED: Final = "tried"  # A host that failed before this one; `cause` says who and why.
SETUP_WORDS: Final = frozenset({TRIED, CONNECT, "greeting", "ehlo", "helo", "starttls", "tls", "auth"})
WORDS: Final = SETUP_WORDS | {"rset", "mail", "rcpt", "data", "body", "dot"}

TEXT_CHARS_MAX: Final = 1000  # Of a dialogue. Ours: a row of an event holds one.
STEPS_COUNT_MAX: Final = 24  # Ours: five hosts tried, setting up with TLS and AUTH, and a mail to a few.
_LINE_CHARS_MAX: Final = 160  # Ours: what fits on a screen.
_HEAD_CHARS_MAX: Final = 64  # Of an address, a cipher, a host name and parameters, each.
_MS_MAX: Final = 9_999_999


class Step(msgspec.Struct, frozen=True, gc=False):
    """One thing we asked and what came of it."""

    word: str  # One of `WORDS`: a state of `smtp_client`, CONNECT or TRIED.
    ms: int  # From the write to the reply.
    reply: str = ""  # "250 2.1.0 Ok"; "" if there is none.
    cause: str = ""  # Why there is no reply; "" also for what has none, such as the TLS handshake.


class Dialogue(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as far as one message and one connection go."""

    steps: tuple[Step, ...] = ()  # In the order they came.
    message_number: int = 1  # Which message of its connection this was, from 1; 0: it got no further than setting up.
    source: str = ""  # Our address.
    cipher: str = ""  # "TLS_AES_256_GCM_SHA384"; "" in the clear.
    ehlo_name: str = ""  # "" on a connection that was reused.
    parameters: str = ""  # Of MAIL: "SIZE=3120 BODY=8BITMIME".


def encode(dialogue: Dialogue) -> str:
    """Return `dialogue` as a short text. Too many steps lose those in the middle, too long replies their ends."""
    words = head(dialogue.source, dialogue.cipher, dialogue.ehlo_name)
    lines = [f"{dialogue.message_number} {words} {_clean(dialogue.parameters, _HEAD_CHARS_MAX)}"]
    for one in dialogue.steps:
        said = one.reply or (f"! {one.cause}" if one.cause else "")
        lines.append(_clean(f"{one.word} {min(_MS_MAX, one.ms)} {said}"))
    return join(lines)


def head(source: str, cipher: str, ehlo_name: str) -> str:
    """Return the part of a text's first line that is the same for all messages of a connection."""
    return " ".join(_clean(text, _HEAD_CHARS_MAX).replace(" ", "") or "-" for text in (source, cipher, ehlo_name))


def ms(elapsed_s: float) -> str:
    """Return how many milliseconds that is, as `lines` takes it: once for all that came in one read."""
    rounded = int(elapsed_s * 1000 + 0.5)
    return str(min(_MS_MAX, rounded))


def lines(heard: Iterable[tuple[str, Reply | Cause | None]], times: Iterable[str]) -> list[str]:
    """Return a line for each thing that a session heard, with the state in which and the milliseconds after which.

    Cost: 0.4 us each. A join, for an f-string spends 1.7 us on a member of an enum (2026-11).
    """
    made = []
    for (word, what), after_ms in zip(heard, times, strict=False):
        if isinstance(what, Reply):
            text = what.text  # It has no control characters but those line ends.
            if "\n" in text:
                text = text[: text.index("\n")]
            if what.enhanced:
                made.append(" ".join((word, after_ms, str(what.code), what.enhanced, text)))
            else:
                made.append(" ".join((word, after_ms, str(what.code), text)))
        else:
            made.append(" ".join((word, after_ms, "" if what is None else f"! {what.value}")))
    return made


def tried(elapsed_s: float, who: str, why: str) -> str:
    """Return the line for a host that failed before the one talked to."""
    return _clean(f"{TRIED} {ms(elapsed_s)} ! {who} {why}")


def join(lines: Sequence[str]) -> str:
    """Return the text of these lines, the first one of which begins with the message's number; cut to fit."""
    text = "\n".join(lines)
    if len(text) <= TEXT_CHARS_MAX and len(lines) <= STEPS_COUNT_MAX + 1:
        return text
    first, *steps = lines
    if len(steps) > STEPS_COUNT_MAX:
        steps = [*steps[: STEPS_COUNT_MAX // 2], *steps[-STEPS_COUNT_MAX // 2 :]]
    chars_max = (TEXT_CHARS_MAX - len(first)) // len(steps) - 1
    return "\n".join([first, *(step[:chars_max] for step in steps)])


def decode(text: str) -> Dialogue:
    """Read what `encode` made; lines it cannot read are passed over, "" is an empty dialogue."""
    head, *lines = text.split("\n")
    number, source, cipher, ehlo_name, parameters = [*head.split(" ", 4), "", "", "", "", ""][:5]
    return Dialogue(
        steps=tuple(one for line in lines if (one := _step_of(line)) is not None),
        message_number=_number(number),
        source="" if source == "-" else source,
        cipher="" if cipher == "-" else cipher,
        ehlo_name="" if ehlo_name == "-" else ehlo_name,
        parameters=parameters,
    )


def transcript(dialogue: Dialogue, *, sender: str, recipients: Sequence[str]) -> list[str]:
    """Return the dialogue for people, a line each: "*" what happened, ">" what we said, "<" what the peer said.

    Args:
        recipients: of this attempt, in its order; those missing are not named.
    """
    lines = []
    if dialogue.message_number > 1:
        lines.append(f"* message {dialogue.message_number} on this connection")
    names = iter(recipients)
    for one in dialogue.steps:
        asked = _asked(one.word, dialogue, sender, next(names, "") if one.word == "rcpt" else "")
        if one.word == TRIED:
            lines.append(f"* tried {one.cause}   {one.ms} ms")
            continue
        lines.append(f"{asked}   {one.ms} ms")
        if one.reply:
            lines.append(f"< {one.reply}")
        elif one.cause:
            lines.append(f"* no reply: {one.cause}")
    return [_clean(line, len(line)) for line in lines]


def _asked(word: str, dialogue: Dialogue, sender: str, recipient: str) -> str:
    """Return what we said, or did, at that step."""
    match word:
        case "greeting":
            return "* greeting"
        case "connect" | "tls":
            return f"* {'connected' if word == CONNECT else 'TLS handshake'}"
        case "ehlo" | "helo":
            return f"> {word.upper()} {dialogue.ehlo_name}".rstrip()
        case "auth":
            return "> AUTH ***"
        case "mail":
            return f"> MAIL FROM:<{sender}> {dialogue.parameters}".rstrip()
        case "rcpt":
            return f"> RCPT TO:<{recipient or '...'}>"
        case "body":
            return "> (the message)"
        case "dot":
            return "> (the message) ."
        case _:
            return f"> {word.upper()}"


def _step_of(line: str) -> Step | None:
    word, _, rest = line.partition(" ")
    ms, _, said = rest.partition(" ")
    if word not in WORDS or not (ms.isascii() and ms.isdigit()):
        return None
    if said.startswith("! "):
        return Step(word, _number(ms), "", said[2:])
    return Step(word, _number(ms), said)


def _number(digits: str) -> int:
    return min(_MS_MAX, int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0


def _clean(text: str, chars_max: int = _LINE_CHARS_MAX) -> str:
    text = text[:chars_max]
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
