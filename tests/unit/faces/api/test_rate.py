"""What is left of a key's rate: in the headers of an answer, of a refusal too; nothing for a key without one."""

import pytest

from outrider.base.errors import LimitReachedError
from outrider.faces.api import rate
from outrider.services.access import Allowance, Caller
from tests.unit.faces.conftest import KEY_ID, PROJECT_ID

CALLER = Caller(project_id=PROJECT_ID, access_key_id=KEY_ID, rate_per_minute=600)
Headers = list[tuple[bytes, bytes]]


def test_what_is_left_is_said_to_the_second_above() -> None:
    headers: Headers = []
    rate.spend(lambda _: Allowance(600, 599, 41.2), CALLER, headers)
    assert headers == [(b"ratelimit-policy", b'"key";q=600;w=60'), (b"ratelimit", b'"key";r=599;t=42')]


def test_a_key_without_a_rate_has_nothing_to_say() -> None:
    headers: Headers = []
    rate.spend(lambda _: Allowance(0, 0, 0.0), CALLER, headers)
    assert headers == []


def test_a_refusal_says_when_there_are_more() -> None:
    def refuse(_: Caller) -> Allowance:
        raise LimitReachedError("Too many.", retry_after_s=12.3)

    headers: Headers = []
    with pytest.raises(LimitReachedError):
        rate.spend(refuse, CALLER, headers)
    assert headers == [(b"ratelimit-policy", b'"key";q=600;w=60'), (b"ratelimit", b'"key";r=0;t=13')]
