"""How often a reply rule was hit within its time, in the few bytes that a gate has for it.

Each rule has a place with the hash of its name and the instants of its last hits. Of a rule that needs more hits than
there is room for, every n-th is kept, so that its time is exact to one n-th of it. When a new rule needs a place, the
one that was longest silent loses it. Enough hits end the count: the next one begins anew.
"""

from hashlib import blake2b
from typing import Final

from outrider.policy.gate import HIT, HIT_INSTANTS_COUNT

_NOTHING: Final = (0.0,) * HIT_INSTANTS_COUNT


def count(hits: bytes, rule: str, now_s: float, *, hits_needed: int, within_s: float) -> tuple[bytes, bool]:
    """Return the hits with this one, and whether it is the `hits_needed`-th within `within_s`."""
    name = int.from_bytes(blake2b(rule.encode(), digest_size=8).digest(), "little") or 1
    places = list(HIT.iter_unpack(hits))
    at = next((i for i, place in enumerate(places) if place[0] == name), None)
    if at is None:
        at = min(range(len(places)), key=lambda i: max(places[i][3:]))
        pending, instants = 0, []
    else:
        _, pending, used, *instants = places[at]
        instants = [at_s for at_s in instants[:used] if 0 <= now_s - at_s < within_s]
    group = -(-hits_needed // HIT_INSTANTS_COUNT)
    pending += 1
    is_enough = len(instants) * group + pending >= hits_needed
    if is_enough:
        place = (0, 0, 0, *_NOTHING)
    else:
        if pending >= group:
            pending, instants = 0, [*instants, now_s]
        place = (name, pending, len(instants), *instants, *_NOTHING[len(instants) :])
    packed = HIT.pack(*place)
    return hits[: at * HIT.size] + packed + hits[(at + 1) * HIT.size :], is_enough


def last_at_s(hits: bytes) -> float:
    """Return when the last kept hit was; 0: none."""
    return max(max(place[3:]) for place in HIT.iter_unpack(hits)) if any(hits) else 0.0
