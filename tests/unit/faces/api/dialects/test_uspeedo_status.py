"""The session that SendStatus asks for; its answer is compared whole in test_uspeedo.py."""

from uuid import UUID

import pytest

from outrider.base.errors import CallerError, MissingFieldError
from outrider.faces.api.dialects.uspeedo_status import read

SESSION = UUID("0197a000-0000-7000-8000-00000000beef")


def test_a_session_is_read_in_either_case() -> None:
    assert read({"SessionNo": str(SESSION)}) == read({"SessionNo": str(SESSION).upper()}) == SESSION


def test_a_call_without_one_is_told_so() -> None:
    with pytest.raises(MissingFieldError):
        read({"sessionno": str(SESSION)})


@pytest.mark.parametrize("value", ["", "x", SESSION.hex, f"{{{SESSION}}}", 5, None, True, [str(SESSION)]])
def test_what_is_no_session_is_told(value: object) -> None:
    with pytest.raises(CallerError) as caught:
        read({"SessionNo": value})
    assert caught.value.field == "SessionNo"
