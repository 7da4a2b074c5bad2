"""When a source stays away from servers that it cannot reach: after a few failures in a row, longer each time.

Otherwise a million mails to a dead server would each cost a connection, a time-out and an attempt. A failure is an
attempt that ended before anything was said about mail; the first answer about mail forgets all of them.

Pure: instants are the caller's, by a monotonic clock. It is no field of the gate, so an absence is each process's own:
every process of a node finds out with a few connections.
"""

from typing import Final

import msgspec

from outrider.base.vocab import Phase
from outrider.wire.answer import Answer

FAILURES_MAX: Final = 5  # KumoMTA: "delay after 5 failed connections" (shared/providers.md 1.3).
AWAY_S: Final = 60.0  # Ours: as `policy.retry`, doubling.
AWAY_S_MAX: Final = 900.0  # Ours: a server that comes back should not wait for long.
_DOUBLINGS_MAX: Final = 10  # Ours: over the cap; a server may be dead for more rounds than a float can double.
_BEFORE_MAIL: Final = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})


class Reach(msgspec.Struct):
    """How it goes to get through from one source to those behind one key."""

    failure_count: int = 0  # Connections in a row that came to nothing.
    round_count: int = 0  # Absences in a row.
    until_s: float = 0.0  # The source stays away until then.
    sentence: str = ""  # And why.


def is_through(answer: Answer) -> bool:
    """Tell whether the server let us begin with the mail, whatever it made of it then."""
    return answer.phase not in _BEFORE_MAIL


def fail(reach: Reach, answer: Answer, source: str, now_s: float) -> None:
    """Count an attempt that did not get through; with enough of them an absence begins. None begins within another."""
    reach.failure_count += 1
    if reach.failure_count < FAILURES_MAX or reach.until_s > now_s:
        return
    reach.until_s = now_s + min(AWAY_S * 2.0 ** min(reach.round_count, _DOUBLINGS_MAX), AWAY_S_MAX)
    reach.round_count += 1
    what = f"{answer.reply.code} at {answer.phase}" if answer.reply else f"{answer.cause} at {answer.phase}"
    reach.sentence = f"{reach.failure_count} connections in a row from {source} came to nothing ({what})"
