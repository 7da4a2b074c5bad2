"""Names of keys: new ones each time, or the same two for ever."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from outrider.mail.dkim import ALGORITHMS, ED25519_SHA256, RSA_SHA256
from outrider.policy import key_names

NOW = datetime(2026, 12, 4, tzinfo=UTC)


def test_a_new_name_is_none_of_those_taken() -> None:
    taken: list[str] = []
    for expected in ("o202612r", "o202612r2", "o202612r3"):
        taken.append(key_names.next_name("", RSA_SHA256, taken, NOW))
        assert taken[-1] == expected
    assert key_names.next_name("mail-", ED25519_SHA256, [*taken, "mail-202612e2"], NOW) == "mail-202612e"
    assert key_names.next_name("", RSA_SHA256, ["o202612r", "o202612r3"], NOW) == "o202612r2"


def test_turns_are_taken_on_two_names_of_each_algorithm() -> None:
    names = [name for algorithm in ALGORITHMS for name in key_names.turns("", algorithm)]
    assert names == ["or1", "or2", "oe1", "oe2"]
    assert list(key_names.turns("x", RSA_SHA256)) == ["xr1", "xr2"]


def test_a_name_in_the_zone_is_of_one_domain_s_row() -> None:
    rows = [UUID(int=1 << 64 | at) for at in range(3)]
    assert len({key_names.label("or1", row) for row in rows}) == 3
    assert key_names.label("or1", UUID(int=255)) == "or1.00000000000000ff"


@pytest.mark.parametrize("text", ["o", "mail-", "a" * 20, "0"])
def test_selectors_may_begin_with_these(text: str) -> None:
    assert key_names.is_prefix(text)


@pytest.mark.parametrize("text", ["", "-a", "A", "a.b", "a" * 21, "\x00", "ü", "a\n", "_x"])
def test_and_not_with_these(text: str) -> None:
    assert not key_names.is_prefix(text)
