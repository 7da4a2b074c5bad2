"""The doubles promise what the ports promise; mypy compares them with the protocols here."""

from uuid import UUID

import pytest

from outrider.base.errors import NotFoundError, UnauthenticatedError
from outrider.engine.submission import Submission
from outrider.faces.api.ports import Accept, Authenticate, Examine, ListSenders, SessionReport, Spend
from outrider.services.access import Allowance, Credentials
from outrider.services.roster import SenderPage, SenderQuery
from outrider.testing.engine import SESSION_ID, KeyRing, RecordingEngine, RecordingExaminer, ToldReports, ToldSenders

SUBMISSION = Submission(sender="a@x.example", recipients=("b@x.example", "b@x.example"), subject="s", text="t")


async def test_an_engine_accepts() -> None:
    engine = RecordingEngine()
    accept: Accept = engine
    accepted = await accept(UUID(int=1), SUBMISSION, idempotency_key="k")
    assert (accepted.session_id, accepted.recipient_count) == (SESSION_ID, 1)
    assert engine.calls == [(UUID(int=1), SUBMISSION, "k")]
    assert engine.submissions == [SUBMISSION]


async def test_keys_open_their_project_only() -> None:
    keys = KeyRing({("id", "secret"): UUID(int=1)})
    authenticate: Authenticate = keys
    spend: Spend = keys.spend
    for shown in ({"access_key_id": "id", "access_key_secret": "secret"}, {"token": "secret"}):
        caller = await authenticate(Credentials(**shown))
        assert (caller.project_id, caller.access_key_id) == (UUID(int=1), "id")
        assert spend(caller) == Allowance(0, 0, 0.0)
    assert keys.spent == ["id", "id"]
    for pair in (("id", "other"), ("other", "secret")):
        with pytest.raises(UnauthenticatedError):
            await authenticate(Credentials(access_key_id=pair[0], access_key_secret=pair[1]))


async def test_a_report_is_its_projects() -> None:
    report: SessionReport = ToldReports()
    with pytest.raises(NotFoundError) as caught:
        await report(UUID(int=1), SESSION_ID)
    assert caught.value.field == "session_id"


async def test_an_examiner_finds_nothing_wrong_until_told() -> None:
    examiner = RecordingExaminer()
    examine: Examine = examiner
    assert list(await examine(UUID(int=1), SUBMISSION, domains={"x.example"})) == []
    assert examiner.calls == [(UUID(int=1), SUBMISSION, {"x.example"})]
    examiner.error = NotFoundError("No such sender.", field="sender")
    with pytest.raises(NotFoundError):
        await examine(UUID(int=1), SUBMISSION)


async def test_senders_are_their_projects() -> None:
    told = ToldSenders()
    list_senders: ListSenders = told
    told.pages[UUID(int=1)] = SenderPage(5, ())
    assert (await list_senders(UUID(int=1), SenderQuery())).total_count == 5
    assert (await list_senders(UUID(int=2), SenderQuery(words="x"))).total_count == 0
    assert told.queries == [SenderQuery(), SenderQuery(words="x")]
