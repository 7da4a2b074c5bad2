"""The state of a gate: one (source, key) on one node, and the fixed layout in which the processes of the node share it.

A gate says what one sending address may do now at one provider: connections in use by slot, arrival times of each rate,
the rate learned from replies, a running pause, rest and cap, the hits of reply rules, the day's count of warm-up. What
happens to it is `policy.throttle`; where it lives is `net.ledger`.

Numbers and short texts only, the texts cut at their width, so a packed gate always has `SIZE_BYTES`. Change a field,
change `LAYOUT`: a file of another layout is started anew, which costs the memory of learned rates and no mail. All
instants are Unix seconds, 0 means never. Learned rates are mails a second, 0 means none.
"""

import struct
from array import array
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LAYOUT: Final = 1  # The number of this layout, in the header of the file.
SLOTS_COUNT_MAX: Final = 64  # Ours: deliver processes of a node; one per core is enough.
RULE_BYTES_MAX: Final = 48  # Ids in shaping.toml have at most 40.
SAID_BYTES_MAX: Final = 64  # The beginning of a reply, where its codes are; the whole is in the attempt's record.
HIT_RULES_COUNT: Final = 6  # Rules counting at once at one provider; the one longest silent makes room.
HIT_INSTANTS_COUNT: Final = 8  # Kept of one rule.

# Places in `tats`. Those of `Limits.rates` come first.
CONNECTION_TAT: Final = 4
ADAPTIVE_TAT: Final = 5
CAP_TAT: Final = 6
_TATS_COUNT: Final = 7

_SLOTS_BYTES: Final = SLOTS_COUNT_MAX * 2
_WANTS_BYTES: Final = SLOTS_COUNT_MAX * 8
HIT: Final = struct.Struct(f"<QII{HIT_INSTANTS_COUNT}d")  # Rule's hash, hits not stored yet, instants used, instants.
_HITS_BYTES: Final = HIT.size * HIT_RULES_COUNT
_TEXTS: Final = struct.Struct(
    f"{RULE_BYTES_MAX}s {SAID_BYTES_MAX}s {RULE_BYTES_MAX}s {SAID_BYTES_MAX}s {RULE_BYTES_MAX}s"
)
_NO_TEXTS: Final = bytes(_TEXTS.size)  # Nearly every gate has none; that must cost nothing.
_LAYOUT: Final = struct.Struct(f"<{_TATS_COUNT}d 18d 8I {_SLOTS_BYTES}s {_WANTS_BYTES}s {_HITS_BYTES}s {_TEXTS.size}s")
SIZE_BYTES: Final = _LAYOUT.size


class Gate(msgspec.Struct, gc=False):
    """What one source may do at one provider. Only `policy.throttle` and `policy.adapt` change it."""

    tats: list[float] = msgspec.field(default_factory=lambda: [0.0] * _TATS_COUNT)

    rate: float = 0.0  # Learned from replies; 0: no bound of this kind.
    learned: float = 0.0  # What the provider took when it last complained; 0: it never did.
    step: float = 0.0  # What a calm round adds to `rate`.
    decreased_at_s: float = 0.0  # Replies to attempts begun until then are about a speed that is over.
    throttled_at_s: float = 0.0  # The last "slower" we heard.
    round_at_s: float = 0.0  # When the present round of observation began.
    seen_rate: float = 0.0  # Attempts a second of the last whole round.
    taken: float = 0.0  # Delivered mails, fading: what went through lately,
    taken_span_s: float = 0.0  # in so many seconds, fading alike,
    taken_at_s: float = 0.0  # until then.
    warm_due_at_s: float = 0.0  # When the day's next mail is due.
    pause_since_s: float = 0.0
    pause_until_s: float = 0.0
    rest_since_s: float = 0.0
    rest_until_s: float = 0.0
    cap_since_s: float = 0.0
    cap_until_s: float = 0.0
    cap_window_s: float = 0.0

    seen: int = 0  # Attempts let through in this round.
    answered: int = 0  # Of this round: delivered or throttled.
    throttled: int = 0  # Of this round.
    warm_day: int = 0  # Proleptic ordinal.
    warm_count: int = 0  # Mails of that day.
    cap_count: int = 0  # 0: the cap has no rate.
    cap_connections: int = 0  # 0: no bound; the next one alike.
    cap_messages: int = 0

    connections: "array[int]" = msgspec.field(default_factory=lambda: array("H", bytes(_SLOTS_BYTES)))  # By slot.
    wants: "array[float]" = msgspec.field(default_factory=lambda: array("d", bytes(_WANTS_BYTES)))  # Since when; 0: no.
    hits: bytes = bytes(_HITS_BYTES)  # `HIT` times `HIT_RULES_COUNT`; read only when a rule hits.

    pause_rule: str = ""
    pause_said: str = ""
    rest_rule: str = ""
    rest_said: str = ""
    cap_rule: str = ""


def pack(gate: Gate) -> bytes:
    """Return the gate in `SIZE_BYTES`."""
    return _LAYOUT.pack(
        *gate.tats,
        gate.rate,
        gate.learned,
        gate.step,
        gate.decreased_at_s,
        gate.throttled_at_s,
        gate.round_at_s,
        gate.seen_rate,
        gate.taken,
        gate.taken_span_s,
        gate.taken_at_s,
        gate.warm_due_at_s,
        gate.pause_since_s,
        gate.pause_until_s,
        gate.rest_since_s,
        gate.rest_until_s,
        gate.cap_since_s,
        gate.cap_until_s,
        gate.cap_window_s,
        gate.seen,
        gate.answered,
        gate.throttled,
        gate.warm_day,
        gate.warm_count,
        gate.cap_count,
        gate.cap_connections,
        gate.cap_messages,
        gate.connections.tobytes(),
        gate.wants.tobytes(),
        gate.hits,
        _pack_texts(gate),
    )


def unpack(buffer: "ReadableBuffer", at: int = 0) -> Gate:
    """Return the gate whose `SIZE_BYTES`, made by `pack`, begin at `at`; all zeros are a new gate."""
    fields = _LAYOUT.unpack_from(buffer, at)
    slots, wants, hits, texts = fields[-4:]
    parts = ([*fields[:_TATS_COUNT]], *fields[_TATS_COUNT:-4], array("H", slots), array("d", wants), hits)
    gate = Gate(*parts)
    if texts != _NO_TEXTS:
        read = (field.rstrip(b"\0").decode("utf-8", "ignore") for field in _TEXTS.unpack(texts))
        gate.pause_rule, gate.pause_said, gate.rest_rule, gate.rest_said, gate.cap_rule = read
    return gate


def _pack_texts(gate: Gate) -> bytes:
    texts = (gate.pause_rule, gate.pause_said, gate.rest_rule, gate.rest_said, gate.cap_rule)
    return _TEXTS.pack(*(text.encode() for text in texts)) if any(texts) else _NO_TEXTS
