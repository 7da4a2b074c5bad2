"""Names of keys: new ones each time, or the same two for ever."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from outrider.mail.dkim import ALGORITHMS, ED25519_SHA256, RSA_SHA256
from outrider.policy import key_names

NOW = datetime(2026, 12, 4, tzinfo=UTC)
ROW = UUID(int=0x1_00FF)


def test_a_new_name_is_none_of_those_taken() -> None:
    taken: list[str] = []
    for expected in ("o202612r-00ff", "o202612r2-00ff", "o202612r3-00ff"):
        taken.append(key_names.next_name("", RSA_SHA256, ROW, taken, NOW))
        assert taken[-1] == expected
    other = [*taken, "mail-202612e2-00ff"]
    assert key_names.next_name("mail-", ED25519_SHA256, ROW, other, NOW) == "mail-202612e-00ff"
    assert key_names.next_name("", RSA_SHA256, ROW, [taken[0], taken[2]], NOW) == "o202612r2-00ff"


def test_a_domain_that_is_added_again_has_other_names() -> None:
    names = {key_names.next_name("", RSA_SHA256, UUID(int=at), [], NOW) for at in range(20)}
    assert len(names) == 20


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
