"""The doubles promise what the ports promise; mypy compares them with the protocols here."""

from uuid import UUID

import pytest

from outrider.base.errors import NotFoundError, UnauthenticatedError
from outrider.engine.submission import Submission
from outrider.faces.api.ports import Accept, Authenticate, SessionReport
from outrider.testing.engine import SESSION_ID, KeyRing, RecordingEngine, ToldReports

SUBMISSION = Submission(sender="a@x.example", recipients=("b@x.example", "b@x.example"), subject="s", text="t")


async def test_an_engine_accepts() -> None:
    engine = RecordingEngine()
    accept: Accept = engine
    accepted = await accept(UUID(int=1), SUBMISSION, idempotency_key="k")
    assert (accepted.session_id, accepted.recipient_count) == (SESSION_ID, 1)
    assert engine.calls == [(UUID(int=1), SUBMISSION, "k")]
    assert engine.submissions == [SUBMISSION]


async def test_keys_open_their_project_only() -> None:
    authenticate: Authenticate = KeyRing({("id", "secret"): UUID(int=1)})
    assert await authenticate("id", "secret") == UUID(int=1)
    for pair in (("id", "other"), ("other", "secret")):
        with pytest.raises(UnauthenticatedError):
            await authenticate(*pair)


async def test_a_report_is_its_projects() -> None:
    report: SessionReport = ToldReports()
    with pytest.raises(NotFoundError) as caught:
        await report(UUID(int=1), SESSION_ID)
    assert caught.value.field == "session_id"
