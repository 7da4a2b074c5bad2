"""From a transaction to a submission: what of the header becomes a field, what of the envelope a fact."""

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.submission import Personal, ReportsAsked, ReportWish, Submission, Templated
from outrider.faces.smtp.transaction import Desk, Handed
from outrider.mail.render import literal
from outrider.services.access import Caller
from outrider.testing.clock import FakeClock
from outrider.testing.engine import SESSION_ID, PublishedTemplates, RecordingEngine
from outrider.testing.engineroom import Journal
from outrider.wire.smtp_server import Mail, Message, Rcpt
from tests.unit.faces.smtp.relay_room import PROJECT

FROM = "From: Shop <noreply@shop.example>\r\nSubject: Hello\r\n"
QUEUED = f"250 2.0.0 queued as {SESSION_ID}"
DOMAINS = frozenset({"shop.example"})


class Office:
    """A desk, and what came of it."""

    def __init__(self, *, is_strict: bool = False, reports_failures: bool = False) -> None:
        self.engine, self.templates, self.journal = RecordingEngine(), PublishedTemplates(), Journal()
        self.desk = Desk(
            self.engine,
            self.templates,
            host_name="relay.example",
            is_strict=is_strict,
            clock=FakeClock(),
            random_bits=Random(1).getrandbits,
            log=self.journal.logger,
            reports_failures=reports_failures,
        )

    async def take(self, head: str, *, mail: Mail | None = None, to: tuple[Rcpt, ...] = (), bare: bool = False) -> str:
        content = (head + FROM + "\r\nbody" + ("\n" if bare else "\r\n")).encode()
        return await self.desk.take(
            Handed(
                caller=Caller(project_id=PROJECT, access_key_id="k", domains=DOMAINS),
                mail=mail or Mail("bounces@elsewhere.example"),
                recipients=to or (Rcpt("b@partner.example"),),
                message=Message(content, has_bare_line_end=bare),
                client="192.0.2.7",
                protocol="ESMTPSA",
            )
        )

    @property
    def made(self) -> Submission:
        return self.engine.submissions[-1]


@pytest.fixture
def office() -> Office:
    return Office()


async def test_the_plainest(office: Office) -> None:
    assert await office.take("") == QUEUED
    made = office.made
    assert (made.sender, made.from_name, made.subject) == ("noreply@shop.example", "Shop", "Hello")
    assert (made.text, made.html, made.headers, made.also_from) == (None, None, (), ())
    assert made.raw is not None
    assert made.raw.endswith(b"\r\n\r\nbody\r\n")
    assert office.engine.domains == [DOMAINS]


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (
            "X-Outrider-Stream: marketing\r\nX-Outrider-List: news\r\n",
            {"stream": Stream.MARKETING, "list_name": "news"},
        ),
        ("X-Outrider-Tags: a, b\r\nX-PM-Tag: c\r\n", {"tags": ("a", "b", "c")}),
        ('X-Outrider-Metadata: {"order": 7}\r\n', {"metadata": {"order": "7"}}),
        (
            "X-Outrider-Track-Opens: no\r\nX-Outrider-Track-Clicks: yes\r\n",
            {"track_opens": False, "track_clicks": True},
        ),
        ("X-Outrider-Send-At: 2026-12-24T08:00:00Z\r\n", {"send_at": datetime(2026, 12, 24, 8, tzinfo=UTC)}),
        ("X-Outrider-Expires: 1h\r\nX-Outrider-Pool: bulk\r\n", {"expires_s": 3600.0, "pool": "bulk"}),
        ("X-Outrider-Campaign: winter\r\n", {"campaign": "winter"}),
        ("Sender: boss@shop.example\r\n", {"also_from": ("boss@shop.example",)}),
    ],
)
async def test_what_the_header_says(office: Office, head: str, fields: Mapping[str, Any]) -> None:
    assert await office.take(head) == QUEUED
    assert {name: getattr(office.made, name) for name in fields} == fields
    assert b"X-Outrider" not in (office.made.raw or b"")
    assert b"X-PM" not in (office.made.raw or b"")


async def test_what_the_envelope_says_is_kept_as_facts(office: Office) -> None:
    to = (Rcpt("a@b.example", frozenset({"NEVER"})), Rcpt("c@d.example", frozenset({"FAILURE"})))
    await office.take("", mail=Mail("", ret="HDRS", envid="QQ 1"), to=to)
    assert office.made.recipients == ("a@b.example", "c@d.example")
    facts = {"door": "smtp", "client": "192.0.2.7", "envelope_sender": "", "envid": "QQ 1", "ret": "HDRS"}
    assert office.made.facts == facts
    assert office.made.reports is None  # Nothing is sent back to the null sender.


@pytest.mark.parametrize("sender", ["root@myhost", "www-data@web_01.example", "printer"])
async def test_nobody_is_told_where_no_report_would_go(office: Office, sender: str) -> None:
    to = (Rcpt("c@d.example", frozenset({"FAILURE"})),)
    assert await office.take("", mail=Mail(sender), to=to) == QUEUED
    assert office.made.reports is None
    assert office.made.facts["envelope_sender"] == sender


async def test_what_is_asked_to_hear_is_handed_on(office: Office) -> None:
    to = (
        Rcpt("a@b.example", frozenset({"NEVER"})),
        Rcpt("c@d.example", frozenset({"SUCCESS", "FAILURE"}), "c+x@old.example"),
        Rcpt("e@f.example"),
    )
    await office.take("", mail=Mail("ops@shop.example", ret="FULL", envid="QQ 1"), to=to)
    wish = ReportWish("c@d.example", ("FAILURE", "SUCCESS"), "c+x@old.example")
    asked = ReportsAsked(return_to="ops@shop.example", wishes=(wish,), is_full=True, envelope_id="QQ 1")
    assert office.made.reports == asked


async def test_what_was_hidden_in_xtext_writes_no_line(office: Office) -> None:
    to = (Rcpt("a@b.example", frozenset({"FAILURE"}), "x@y.example\r\nAction: delivered\0"),)
    await office.take("", mail=Mail("ops@shop.example", envid="a\r\nb\0"), to=to)
    assert office.made.reports == ReportsAsked(
        return_to="ops@shop.example",
        wishes=(ReportWish("a@b.example", ("FAILURE",), "x@y.example"),),
        envelope_id="a b",
    )
    assert office.made.facts["envid"] == "a b"


async def test_nobody_asks_by_saying_nothing_unless_it_is_set_up(office: Office) -> None:
    await office.take("", mail=Mail("ops@shop.example"))
    assert office.made.reports is None
    other = Office(reports_failures=True)
    to = (Rcpt("a@b.example"), Rcpt("c@d.example", frozenset({"NEVER"})))
    await other.take("", mail=Mail("ops@shop.example"), to=to)
    assert other.made.reports == ReportsAsked(
        return_to="ops@shop.example", wishes=(ReportWish("a@b.example", ("FAILURE",)),)
    )


async def test_a_template_takes_the_place_of_the_body(office: Office) -> None:
    office.templates.known[PROJECT, "welcome"] = templated = Templated(template=literal("S", None, "T"))
    head = 'X-Outrider-Template: welcome\r\nX-Outrider-Variables: {"a": 1}\r\nX-Outrider-Locale: de\r\n'
    to = (Rcpt("a@b.example"), Rcpt("c@d.example"))
    assert await office.take(head + "Reply-To: Help <help@shop.example>\r\n", to=to) == QUEUED
    made = office.made
    assert (made.raw, made.templated, made.subject) == (None, templated, "Hello")
    assert made.personal == (Personal({"a": 1}, "de"),) * 2
    assert made.reply_to == ('"Help" <help@shop.example>',)


@pytest.mark.parametrize(
    ("head", "reply"),
    [
        ("X-Outrider-Template: none\r\n", "550 5.1.0 X-Outrider-Template: There is no such template."),
        ('X-Outrider-Variables: {"a": 1}\r\n', "550 5.6.0 X-Outrider-Template: There is no template"),
        ("X-Outrider-Tga: x\r\n", "550 5.6.0 X-Outrider-Tga: There is no such field"),
        ("X-Outrider-Stream: x\r\n", "550 5.6.0 X-Outrider-Stream: A stream is"),
        ("From: other@shop.example\r\n", "550 5.7.1 From: A mail has one From field."),
    ],
)
async def test_what_is_refused_says_which_field(office: Office, head: str, reply: str) -> None:
    assert (await office.take(head)).startswith(reply)
    assert office.engine.calls == []
    assert office.journal.count("mail_refused") == 1


async def test_lines_that_do_not_end_in_crlf_are_mended_or_refused(office: Office) -> None:
    assert await office.take("", bare=True) == QUEUED
    assert (office.made.raw or b"").endswith(b"\r\n\r\nbody\r\n")
    assert (await Office(is_strict=True).take("", bare=True)).startswith("550 5.6.0 A CR or LF stands alone")


async def test_a_mail_made_anew_has_the_hash_of_the_first(office: Office) -> None:
    key = "X-Outrider-Idempotency-Key: order-1042\r\n"
    await office.take(key + "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n")
    await office.take(key + "Date: Fri, 2 Jan 2026 00:00:00 +0000\r\nMessage-ID: <2@x>\r\n")
    await office.take(key, to=(Rcpt("other@partner.example"),))
    await office.take("")
    assert [key for *_, key in office.engine.calls] == ["order-1042"] * 3 + [""]
    first, second, other, none = office.engine.hashes
    assert first == second != other
    assert (len(first), none) == (32, b"")


async def test_large_messages_take_another_thread_and_the_same_way(office: Office) -> None:
    assert await office.take("".join(f"X-Long: {'y' * 900}\r\n" for _ in range(400))) == QUEUED
    assert len(office.made.raw or b"") > 256 * 1024


async def test_long_names_and_subjects_are_cut_for_lists_alone(office: Office) -> None:
    content = f'From: "{"n" * 300}" <noreply@shop.example>\r\nSubject: {"s" * 300}\r\n\r\n'
    caller = Caller(project_id=PROJECT, access_key_id="k")
    message = Message(content.encode(), has_bare_line_end=False)
    handed = Handed(
        caller=caller, mail=Mail(""), recipients=[Rcpt("a@b.example")], message=message, client="", protocol="ESMTP"
    )
    assert await office.desk.take(handed) == QUEUED
    assert (len(office.made.from_name), len(office.made.subject)) == (200, 200)
    assert b"s" * 300 in (office.made.raw or b"")


async def test_what_the_engine_refuses_is_a_reply(office: Office) -> None:
    office.engine.error = CallerError("At most 20 tags.", field="tags")
    assert await office.take("") == "550 5.6.0 X-Outrider-Tag: At most 20 tags."
