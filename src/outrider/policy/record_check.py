"""What DNS says of a wanted record, and what is wrong with it: state, cause, one sentence of advice.

    judge(wanted, seen) -> Finding

`net.records` looks and this judges; it asks `suspects` where else a value may have landed.
"""

from collections.abc import Sequence

import msgspec

from outrider.base.vocab import RecordCause, RecordState
from outrider.policy.records import Wanted


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS says, as far as it matters for one wanted record."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one wanted record."""

    wanted: Wanted
    state: RecordState  # UNVERIFIED: nobody answered; what was known of before stands.
    cause: RecordCause = RecordCause.NONE
    seen: Sequence[str] = ()  # The values found there, in DNS's order; of a wrong host: "HOST: VALUE".
    advice: str = ""  # One plain sentence: what to change. "" when there is nothing to say.
    publish: str = ""  # What the record should say, merged with what is there; `wanted.value` where nothing is.


def judge(wanted: Wanted, seen: Seen) -> Finding:
    """Return state, cause and advice."""
    raise NotImplementedError
