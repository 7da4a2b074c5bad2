"""Who judges content: what is asked, how often, and whose policy counts."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import CallerError, ForbiddenError
from outrider.base.vocab import ContentAction, ContentCause, Stream
from outrider.engine.content import Candidate
from outrider.engine.submission import Attachment
from outrider.mail import address
from outrider.net.rspamd import Silence
from outrider.obs.metrics import Metrics
from outrider.policy.content import WhenDown
from outrider.services.content import ContentChecks, OwnPolicy, PolicyView
from outrider.services.settings import ContentSettings
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.projects import Project
from outrider.testing.clock import FakeClock, turns
from outrider.testing.contentbook import ToldScanner
from outrider.testing.engineroom import Journal
from outrider.wire.answer import Cause
from outrider.wire.rspamd import Question, Score, Symbol

PASS, TAG, HOLD, REFUSE = ContentAction
PROJECT = UUID("01970000-0000-7000-8000-000000000001")
OTHER = UUID("01970000-0000-7000-8000-000000000002")
SILENCE = Silence(Cause.REFUSED, "nobody is there")


def score(value: float = 1.0, action: str = "no action") -> Score:
    return Score(score=value, required=15.0, action=action, symbols=[Symbol("RULE", value)])


def candidate(**changes: Any) -> Candidate:
    usual = {
        "project_id": PROJECT,
        "stream": Stream.TRANSACTIONAL,
        "sender": address.parse("noreply@shop.example"),
        "from_name": "Shop",
        "to": address.parse("ann@a.example"),
        "subject": "Hello",
        "text": "Hello, world.",
        "html": None,
    }
    return Candidate(**usual | changes)


class Room:
    """Checks on a database with two projects, and a filter that says what it is told."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.scanner = ToldScanner(score())
        self.journal = Journal()
        self.metrics = Metrics()

    def checks(self, *, scanner: ToldScanner | None = None, **settings: Any) -> ContentChecks:
        return ContentChecks(
            self.store,
            ContentSettings(**settings),
            scanner or self.scanner,
            clock=self.clock,
            metrics=self.metrics,
            logger=self.journal.logger,
        )


@pytest.fixture
async def room(store: Store, clock: FakeClock) -> Room:
    async with store.transaction() as tx:
        await projects.ensure(tx, Project(PROJECT, "shop"), now=clock.now())
        await projects.ensure(tx, Project(OTHER, "other"), now=clock.now())
    return Room(store, clock)


async def test_the_filter_is_shown_the_mail_as_its_recipient_would_get_it(room: Room) -> None:
    file = Attachment(name="a.txt", type="text/plain", content=b"of the file")
    given = candidate(html="<p>Hi</p>", reply_to=("help@shop.example",), headers=(("X-Own", "1"),), attachments=(file,))
    verdict = await room.checks().judge(given)
    assert (verdict.action, verdict.cause, verdict.score) == (PASS, ContentCause.NONE, 1.0)
    ((question, message),) = room.scanner.asked
    assert (question.sender, question.recipient) == ("noreply@shop.example", "ann@a.example")
    assert question.user == str(PROJECT)
    header, _, body = message.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in header.decode().split("\r\n") if line[:1].strip())
    assert fields["To"] == "ann@a.example"
    assert fields["From"] == "Shop <noreply@shop.example>"
    assert (fields["Subject"], fields["Reply-To"], fields["X-Own"]) == ("Hello", "help@shop.example", "1")
    assert "Date" in fields
    assert "Message-ID" in fields
    assert b"<p>Hi</p>" in body
    assert b'filename="a.txt"' in body


async def test_the_same_content_is_shown_once_for_a_while(room: Room) -> None:
    checks = room.checks(kept_s=60.0)
    for n in range(5):
        await checks.judge(candidate(to=address.parse(f"u{n}@a.example")))
    assert len(room.scanner.asked) == 1
    for changes in ({"text": "Other"}, {"project_id": OTHER}, {"from_name": "X"}, {"stream": Stream.MARKETING}):
        await checks.judge(candidate(**changes))
    assert len(room.scanner.asked) == 5
    room.clock.advance(61.0)
    await checks.judge(candidate())
    assert len(room.scanner.asked) == 6


async def test_who_asks_for_the_same_at_once_shares_the_question(room: Room) -> None:
    checks = room.checks()
    found = await asyncio.gather(*(checks.judge(candidate()) for _ in range(20)))
    assert {one.score for one in found} == {1.0}
    assert len(room.scanner.asked) == 1


async def test_files_that_are_too_large_are_left_out(room: Room) -> None:
    large = Attachment(name="a.bin", type="application/octet-stream", content=b"x" * 2000)
    await room.checks(scan_bytes_max=1999).judge(candidate(attachments=(large,)))
    await room.checks(scan_bytes_max=2000).judge(candidate(attachments=(large,)))
    assert [b"a.bin" in message for _, message in room.scanner.asked] == [False, True]


async def test_mail_of_a_file_alone_that_is_too_large_is_still_judged(room: Room) -> None:
    large = Attachment(name="a.bin", type="application/octet-stream", content=b"x" * 2000)
    await room.checks(scan_bytes_max=1999).judge(candidate(text=None, attachments=(large,)))
    ((_, message),) = room.scanner.asked
    assert message.endswith(b"\r\n\r\n(none)\r\n")


def whole(body: bytes = b"Hello, world.\r\n", head: bytes = b"", *, n: int = 0) -> Candidate:
    fresh = b"Received: by relay.example with ESMTPSA id %d\r\nDate: %d\r\nMessage-ID: <%d@a>\r\nTo: u%d@a.example\r\n"
    raw = fresh % (n, n, n, n) + b"From: noreply@shop.example\r\nSubject: Hello\r\n" + head + b"\r\n" + body
    return candidate(text=None, raw=raw)


def with_file(octets: bytes) -> Candidate:
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nX-Own: 1\r\n"
    text = b"--b\r\nContent-Type: text/html\r\n\r\n<p>Hi</p><script>1</script>\r\n"
    file = b"--b\r\nContent-Disposition: attachment; filename=a.bin\r\n\r\n" + octets + b"\r\n--b--\r\n"
    return whole(text + file, head)


async def test_a_message_that_came_whole_is_shown_as_it_came(room: Room) -> None:
    given = whole()
    await room.checks().judge(given)
    assert [message for _, message in room.scanner.asked] == [given.raw]


async def test_the_same_message_handed_in_again_is_not_asked_for_again(room: Room) -> None:
    checks = room.checks()
    for n in range(3):
        await checks.judge(whole(n=n))
    assert len(room.scanner.asked) == 1
    for changed in (whole(b"Other\r\n"), whole(head=b"X-Own: 1\r\n")):
        await checks.judge(changed)
    assert len(room.scanner.asked) == 3


async def test_of_a_large_message_its_header_and_texts_are_shown(room: Room) -> None:
    await room.checks(scan_bytes_max=1999).judge(with_file(b"x" * 2000))
    await room.checks(scan_bytes_max=2000).judge(with_file(b"x" * 2000))
    small, all_of_it = [message for _, message in room.scanner.asked]
    assert all_of_it == with_file(b"x" * 2000).raw
    assert b"a.bin" not in small
    assert b"<script>1</script>" in small
    assert small.startswith(b"Received: by relay.example")
    assert (small.count(b"Content-Type:"), small.count(b"MIME-Version:"), small.count(b"X-Own: 1")) == (1, 1, 1)


async def test_a_large_message_without_texts_or_structure_is_shown_in_part(room: Room) -> None:
    checks = room.checks(scan_bytes_max=1999)
    head = b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment\r\n"
    await checks.judge(whole(b"x" * 3000, head))
    await checks.judge(whole(b"boundary=x\r\n" * 30_000))
    alone, broken = [message for _, message in room.scanner.asked]
    assert alone.endswith(b"\r\n\r\n(none)\r\n")
    assert len(broken) == 256 * 1024


@pytest.mark.parametrize("kind", [b"plain", b"html"])
async def test_of_a_text_without_end_so_much_is_shown(room: Room, kind: bytes) -> None:
    line = b"x" * 70 + b"\r\n"
    body = line * (12 * 1024 * 1024 // len(line))
    await room.checks().judge(whole(body, b"Content-Type: text/" + kind + b"\r\n"))
    ((_, message),) = room.scanner.asked
    assert 512 * 1024 < len(message) < len(body)
    assert b"Content-Type: text/" + kind in message


async def test_a_message_that_came_whole_is_opened_for_the_lint(room: Room) -> None:
    checks = room.checks(lint_errors=ContentAction.REFUSE)
    verdict = await checks.judge(with_file(b"x"))
    assert (verdict.action, verdict.cause) == (REFUSE, ContentCause.LINT)
    assert "element_forbidden" in {one.code for one in verdict.faults}


@pytest.mark.parametrize("action", WhenDown)
async def test_a_silent_filter_means_what_the_policy_says_and_is_told_once_a_minute(
    room: Room, action: WhenDown
) -> None:
    room.scanner.said = SILENCE
    checks = room.checks(when_down=action)
    for n in range(3):
        verdict = await checks.judge(candidate(text=f"{n}"))
        assert (verdict.action.value, verdict.cause, verdict.score) == (action.value, ContentCause.UNANSWERED, None)
    assert room.journal.count("junk_filter_silent") == 1
    room.clock.advance(61.0)
    await checks.judge(candidate())
    assert room.journal.count("junk_filter_silent") == 2
    assert b'outrider_content_silences_total{cause="refused"} 4.0' in room.metrics.render()
    room.scanner.said = score(16.0, "reject")
    assert (await checks.judge(candidate())).action is REFUSE, "a silence is not remembered"


async def test_many_who_wait_for_a_silent_filter_are_all_answered(room: Room) -> None:
    room.scanner.said = SILENCE
    checks = room.checks(when_down=WhenDown.HOLD)
    found = await asyncio.gather(*(checks.judge(candidate()) for _ in range(20)))
    assert {one.action for one in found} == {HOLD}


async def change(
    room: Room, checks: ContentChecks, changes: dict[str, Any], *, by_operator: bool = False
) -> PolicyView:
    async with room.store.transaction() as tx:
        await checks.change(tx, PROJECT, changes, by_operator=by_operator)
    return await checks.policy(PROJECT)


async def test_a_project_says_otherwise_for_itself_and_takes_it_back(room: Room) -> None:
    checks = room.checks(hold_score=5.0)
    room.scanner.said = score(6.0)
    assert (await checks.judge(candidate())).action is HOLD
    view = await change(room, checks, {"hold_score": 8.0, "tag_score": 5.5})
    assert (view.counts.hold_score, view.own) == (8.0, OwnPolicy(hold_score=8.0, tag_score=5.5))
    room.clock.advance(0.6)
    assert (await checks.judge(candidate())).action is TAG
    assert (await checks.judge(candidate(project_id=OTHER))).action is HOLD
    await change(room, checks, {"tag_score": None})
    assert (await checks.policy(PROJECT)).own == OwnPolicy(hold_score=8.0), "what is not named stays"
    await change(room, checks, {"hold_score": None})
    room.clock.advance(0.6)
    assert (await checks.judge(candidate())).action is HOLD
    assert (await checks.policy(PROJECT)).own == OwnPolicy()


@pytest.mark.parametrize(
    "changes",
    [
        {"hold_score": -1.0},
        {"hold_score": 1e9},
        {"hold_score": float("nan")},
        {"hold_score": "x"},
        {"when_down": "tag"},
        {"when_down": "x"},
        {"lint_errors": "off"},
        {"other": 1.0},
    ],
)
async def test_what_is_no_policy_is_refused(room: Room, changes: dict[str, Any]) -> None:
    checks = room.checks()
    with pytest.raises(CallerError) as caught:
        await change(room, checks, changes)
    assert caught.value.field.startswith("content")
    assert (await checks.policy(PROJECT)).own == OwnPolicy()


async def test_where_projects_may_not_decide_only_an_operator_does(room: Room) -> None:
    checks = room.checks(projects_decide=False)
    with pytest.raises(ForbiddenError):
        await change(room, checks, {"hold_score": 99.0})
    with pytest.raises(ForbiddenError):
        checks.require_open()
    view = await change(room, checks, {"hold_score": 99.0}, by_operator=True)
    assert (view.counts.hold_score, view.is_open) == (99.0, False)


async def test_a_whole_message_is_shown_as_it_is(room: Room) -> None:
    message = b"From: Ann <ann@shop.example>\r\nTo: Bob <bob@b.example>, c@c.example\r\nSubject: Hi\r\n\r\nHello\r\n"
    room.scanner.said = score(16.0, "reject")
    verdict = await room.checks().check_message(PROJECT, message, stream=Stream.TRANSACTIONAL)
    assert verdict.action is REFUSE
    ((question, shown),) = room.scanner.asked
    assert (question.sender, question.recipient, shown) == ("ann@shop.example", "bob@b.example", message)


async def test_nonsense_as_a_message_is_judged_too(room: Room) -> None:
    assert (await room.checks().check_message(PROJECT, b"\xff\x00", stream=Stream.MARKETING)).action is PASS


async def test_it_is_off_without_a_filter_and_a_lint(room: Room) -> None:
    def checks(**settings: Any) -> ContentChecks:
        return ContentChecks(
            room.store,
            ContentSettings(**settings),
            None,
            clock=room.clock,
            metrics=room.metrics,
            logger=room.journal.logger,
        )

    assert not checks().is_on
    assert checks(lint_errors=HOLD).is_on
    assert room.checks().is_on
    verdict = await checks(when_down=WhenDown.HOLD).check(candidate())
    assert (verdict.action, verdict.score) == (PASS, None)
    await checks().close()
    await room.checks().close()
    assert room.scanner.is_closed


async def test_faults_count_only_where_the_policy_says_so_and_a_check_tells_them_always(room: Room) -> None:
    given = candidate(html='<p>Hi <script src="x"></script></p>', text="Hi")
    easy, strict = room.checks(), room.checks(lint_errors=HOLD, lint_warnings=TAG)
    assert (await easy.judge(given)).faults == ()
    assert (await easy.check(given)).action is PASS
    assert "element_forbidden" in [one.code for one in (await easy.check(given)).faults]
    verdict = await strict.judge(given)
    assert (verdict.action, verdict.cause) == (HOLD, ContentCause.LINT)
    assert (await strict.judge(candidate(html="<p>Hi</p>", text=None))).action is TAG, "no text part"
    assert (await strict.judge(candidate())).action is PASS


async def test_marketing_mail_that_nobody_can_leave_is_a_fault(room: Room) -> None:
    checks = room.checks(lint_errors=REFUSE)
    marketing: dict[str, Any] = {"stream": Stream.MARKETING}
    assert (await checks.judge(candidate(**marketing))).action is REFUSE
    for way in ({"has_link_to_leave": True}, {"headers": (("List-Unsubscribe", "<mailto:out@shop.example>"),)}):
        assert (await checks.judge(candidate(**marketing, **way))).action is PASS, way
    message = b"From: a@shop.example\r\nSubject: Hi\r\nList-Unsubscribe: <mailto:x@shop.example>\r\n\r\nHello\r\n"
    assert (await checks.check_message(PROJECT, message, stream=Stream.MARKETING)).action is PASS
    bare = message.replace(b"List-Unsubscribe", b"X-Other")
    assert (await checks.check_message(PROJECT, bare, stream=Stream.MARKETING)).action is REFUSE


async def test_who_gives_up_waiting_leaves_the_question_to_the_others(room: Room) -> None:
    class Slow(ToldScanner):
        """Answers when the test says so."""

        gate = asyncio.Event()

        async def ask(self, question: Question, message: bytes) -> Score | Silence:
            await self.gate.wait()
            return await super().ask(question, message)

    scanner = Slow(score(2.0))
    checks = room.checks(scanner=scanner)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(checks.judge(candidate()))
        await turns()
        second = group.create_task(checks.judge(candidate()))
        await turns()
        first.cancel()
        await turns()
        scanner.gate.set()
    assert first.cancelled()
    assert second.result().score == 2.0
