"""What the lints of rule files share: which patterns a hostile reply could make slow, and how a sample is judged."""

import re
import time
from collections.abc import Iterator
from typing import Any, Final

from outrider.base import limits
from outrider.base.vocab import Phase
from outrider.wire.answer import Answer
from outrider.wire.reply import Reply, parse_reply

# A sample without phases of its own is shown in these; STARTTLS and AUTH have one meaning whatever is said.
PHASES: Final = (Phase.GREETING, Phase.EHLO, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT)
CONFIRMED: Final[dict[str, Any]] = {"attempt": 1, "age_s": 3600.0}
UNBOUNDED_REPEATS_MAX: Final = 2
SEARCH_S_MAX: Final = 0.05  # For a reply made to hurt; an honest one takes microseconds.


def reply_of(sample: str) -> Reply:
    """Read a sample as the wire would."""
    return parse_reply([line.encode() for line in sample.split("\n")])


def answers(sample: str, phases: frozenset[Phase] = frozenset()) -> Iterator[Answer]:
    """Give the sample as an answer in each of these phases, or of all that count."""
    for phase in sorted(phases) or PHASES:
        yield Answer(phase, reply_of(sample))


def slow_pieces(pattern: str) -> list[str]:
    """Return what, repeated to the end of a reply, makes the search slow; [] for a pattern that is safe."""
    if unbounded_repeats(pattern) > UNBOUNDED_REPEATS_MAX:
        return ["unbounded repeats"]
    words = re.findall(r"[A-Za-z]{3,}", pattern)
    return [piece for piece in ("a", " ", "5.7.1 ", "too many ", *(f"{w} " for w in words)) if _is_slow(pattern, piece)]


def _is_slow(pattern: str, piece: str) -> bool:
    line = "550 5.7.1 " + (piece * limits.REPLY_TEXT_CHARS_KEPT_MAX)[: limits.REPLY_TEXT_CHARS_KEPT_MAX]
    started_s = time.process_time()
    re.search(pattern, line, re.IGNORECASE)
    return time.process_time() - started_s >= SEARCH_S_MAX


def unbounded_repeats(pattern: str) -> int:
    """Count `*`, `+` and `{n,}`; one inside another counts as far too many."""

    def count(node: Any, *, is_inside: bool) -> int:
        if isinstance(node, tuple) and len(node) == 2 and str(node[0]) in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, body = node[1]
            is_unbounded = str(most) == "MAXREPEAT"
            own = 99 if is_unbounded and is_inside else int(is_unbounded)
            return own + sum(count(part, is_inside=is_inside or is_unbounded) for part in body)
        if isinstance(node, list | tuple) or hasattr(node, "data"):
            return sum(count(part, is_inside=is_inside) for part in node)
        return 0

    return count(re._parser.parse(pattern), is_inside=False)  # type: ignore[attr-defined]
