"""One attempt as it was: the facts of its event, and the dialogue in the order it was spoken. For `outrider show`.

What the event does not say is not told: where no dialogue was kept, the last reply and the phase it came in are all.
Addresses are not in a kept dialogue; they are put back from the recipient's record. Pure.
"""

from collections.abc import Mapping
from typing import Final

from outrider.base.vocab import EventKind
from outrider.store.events import Event
from outrider.wire import dialogue

# What the head of an attempt says already, or the dialogue or the reply.
_TOLD: Final = frozenset(
    {
        "code",
        "enhanced",
        "text",
        "fate",
        "dialogue",
        "phase",
        "host",
        "ip",
        "source",
        "tls",
        "duration_ms",
        "rule",
        "certificate",
    }
)
# What follows a delivery repeats which way the mail had gone, for who counts; the attempt's own line says it.
_FOLLOWING: Final = frozenset(
    {
        *(EventKind.BOUNCED_LATE, EventKind.COMPLAINED, EventKind.UNSUBSCRIBED, EventKind.RESUBSCRIBED),
        *(EventKind.OPENED, EventKind.CLICKED),
    }
)
_WAY: Final = frozenset({"source", "provider"})
_HEAD: Final[Mapping[str, str]] = {"source": "from", "host": "to", "ip": "at", "tls": "TLS", "certificate": "name"}


def headline(event: Event) -> str:
    """Return one line: what happened, from where to where, how long it took, what judged it."""
    facts = event.facts
    if event.kind in _FOLLOWING:
        facts = {name: value for name, value in facts.items() if name not in _WAY}
    parts = [f"{event.at:%Y-%m-%d %H:%M:%S} UTC", f"{event.kind.value}"]
    if event.attempt:
        parts.append(f"attempt {event.attempt}")
    parts += [f"{word} {facts[name]}" for name, word in _HEAD.items() if facts.get(name)]
    if "duration_ms" in facts:
        parts.append(f"{facts['duration_ms']} ms")
    if event.reason:
        parts.append(f"reason {event.reason}")
    if facts.get("rule"):
        parts.append(f"rule {facts['rule']}")
    parts += [name if value is True else f"{name} {value}" for name, value in facts.items() if name not in _TOLD]
    return ", ".join(parts)


def dialogue_lines(event: Event, *, sender: str, recipient: str) -> list[str]:
    """Return what was said, a line each; where no dialogue was kept, the last word and where it fell."""
    kept = event.facts.get("dialogue")
    if isinstance(kept, str) and kept:
        return _decoded(kept, sender=sender, recipient=recipient)
    if not event.reply:
        return []
    phase = event.facts.get("phase")
    return [f"* {phase}"] * bool(phase) + [f"< {event.reply}"]


def _decoded(kept: str, *, sender: str, recipient: str) -> list[str]:
    """Read the compact dialogue; who it was between is not in it."""
    return dialogue.transcript(dialogue.decode(kept), sender=sender, recipients=[recipient])
