"""Problem details: every error has its shape, and ours says nothing of itself."""

import io
from uuid import UUID

import msgspec
import pytest

from outrider.base import errors
from outrider.base.errors import BusyError, CallerError, LimitReachedError, OutriderError, StoreUnavailableError
from outrider.faces.api.v1 import problem
from outrider.faces.api.v1.problem import Fault, FaultsError
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings

REQUEST_ID = UUID(int=5)


def subtree(kind: type[OutriderError]) -> list[type[OutriderError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in subtree(child))]


@pytest.mark.parametrize("kind", [one for one in subtree(OutriderError) if one.__module__ == errors.__name__])
def test_every_error_is_a_problem(kind: type[OutriderError]) -> None:
    more = {"retry_after_s": 7.0} if issubclass(kind, LimitReachedError) else {}
    made = problem.render(kind("Said to strangers.", **more, path="/secret"), REQUEST_ID, {})
    is_theirs = issubclass(kind, CallerError | BusyError | StoreUnavailableError)
    assert (made.status, made.code) == (kind.status, kind.code if is_theirs else "internal")
    assert made.type == f"urn:outrider:problem:{made.code}"
    assert made.title
    assert ("Said to strangers." in made.detail) == is_theirs
    assert b"secret" not in msgspec.json.encode(made)
    assert made.request_id == REQUEST_ID
    assert (made.retry_after_s is not None) == (kind.status in (429, 503))


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("sender", "from"),
        ("shown_to[3]", "to[3]"),
        ("attachments[2].name", "attachments[2].name"),
        ("", ""),
        ("x.sender", "x.sender"),
    ],
)
def test_fields_are_named_as_the_caller_has_them(field: str, named: str) -> None:
    made = problem.render(CallerError("No.", field=field), None, {"sender": "from", "shown_to": "to"})
    assert made.field == named


def test_several_faults_are_all_told() -> None:
    made = problem.render(FaultsError("No.", [Fault(field="to[0]", detail="no @")], field="to"), None, {})
    assert msgspec.json.decode(msgspec.json.encode(made)) == {
        "type": "urn:outrider:problem:bad_request",
        "title": "The request is wrong",
        "status": 400,
        "code": "bad_request",
        "detail": "No.",
        "field": "to",
        "errors": [{"field": "to[0]", "detail": "no @"}],
    }


def test_only_what_an_operator_should_see_is_logged() -> None:
    log = io.StringIO()
    logger = make_logger(LogSettings(format="json"), "web", log)
    problem.note(logger, CallerError("No."), "r")
    problem.note(logger, BusyError("Later."), "r")
    assert log.getvalue() == ""
    problem.note(logger, StoreUnavailableError("Away.", cause="disk full"), "request-7")
    assert "disk full" in log.getvalue()
    assert "request-7" in log.getvalue()
