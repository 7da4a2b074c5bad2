"""The error tree: every class has all its public faces, and they agree with each other."""

import re
from collections.abc import Iterator
from typing import Final

import pytest

from outrider.base import errors
from outrider.base.errors import CallerError, LimitReachedError, OutriderError


def tree(root: type[OutriderError] = OutriderError) -> Iterator[type[OutriderError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


ALL: Final = sorted(set(tree()), key=lambda error: error.__name__)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_has_all_its_public_faces(error: type[OutriderError]) -> None:
    assert error.__name__.endswith("Error")
    assert error.__doc__
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert 400 <= error.status <= 599
    assert 215000 <= error.ret_code <= 215999
    assert re.fullmatch(r"([45])\d\d \1\.\d{1,3}\.\d{1,3}", error.smtp)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_callers_get_4xx_and_only_they_do(error: type[OutriderError]) -> None:
    assert (error.status < 500) == issubclass(error, CallerError)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_our_trouble_is_temporary_by_smtp(error: type[OutriderError]) -> None:
    if not issubclass(error, CallerError):
        assert error.smtp.startswith("4")


def test_codes_are_unique_except_between_our_bug_and_theirs() -> None:
    seen: dict[str, str] = {}
    for error in ALL:
        if "code" not in vars(error):
            continue  # Local and remote ProtocolError share their parent's: strangers need no difference.
        assert error.code not in seen, f"{error.__name__} and {seen[error.code]}"
        seen[error.code] = error.__name__


def test_strangers_see_the_sentence_and_operators_the_rest() -> None:
    error = errors.StoreUnavailableError("Try again later.", dsn="postgresql://secret@db")
    assert str(error) == error.public == "Try again later."
    assert error.detail == {"dsn": "postgresql://secret@db"}
    assert "secret" not in repr(error)


def test_a_callers_error_names_the_field() -> None:
    error = errors.MissingFieldError("The subject is missing.", field="Subject", at=3)
    assert (error.field, error.detail) == ("Subject", {"at": 3})
    assert CallerError("No.").field == ""


def test_a_limit_says_when_to_come_back() -> None:
    error = LimitReachedError("Too many today.", retry_after_s=3600.0, field="x", used=7)
    assert (error.retry_after_s, error.field, error.detail) == (3600.0, "x", {"used": 7})


def test_one_net_catches_them_all_and_no_others() -> None:
    assert all(issubclass(error, OutriderError) for error in ALL)
    assert not issubclass(OutriderError, OSError | ValueError)
    assert len(ALL) >= 15
