"""What is left of a key's rate, said with every answer of every dialect, a refusal too.

    RateLimit-Policy: "key";q=600;w=60
    RateLimit: "key";r=599;t=42

A key without a rate has nothing to say. Source: draft-ietf-httpapi-ratelimit-headers-10.
"""

import math

from outrider.base.errors import LimitReachedError
from outrider.faces.api.ports import Spend
from outrider.services.access import Allowance, Caller


def spend(count: Spend, caller: Caller, answer_headers: list[tuple[bytes, bytes]]) -> None:
    """Count a call of the key, and add what is left of its rate to the headers of the answer.

    Raises:
        LimitReachedError: its key has had its calls of this minute; the headers say that too.
    """
    try:
        allowance = count(caller)
    except LimitReachedError as error:
        answer_headers += _headers(Allowance(caller.rate_per_minute, 0, error.retry_after_s))
        raise
    if allowance.limit:
        answer_headers += _headers(allowance)


def _headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    left = b'"key";r=%d;t=%d' % (allowance.remaining, math.ceil(allowance.reset_s))
    return [(b"ratelimit-policy", b'"key";q=%d;w=60' % allowance.limit), (b"ratelimit", left)]
