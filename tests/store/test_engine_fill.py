"""Mail from a template on a real database: tried at acceptance, stored once, made for each recipient at station 3.

On one version of PostgreSQL: it adds no query of its own.
"""

from typing import Any
from uuid import UUID

import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.engine.submission import Personal, Rejected
from outrider.mail.dkim import SigningKey
from outrider.store import messages, queue
from outrider.testing.engineroom import LINKS_ROOT, PROJECT, EngineRoom, counts, signing_keys, submission
from outrider.testing.templates import personal, template, templated
from tests.store.test_engine_prepare import envelopes, parsed, signatures

pytestmark = pytest.mark.newest

KEYS: list[SigningKey] = list(signing_keys("s1"))


def call(*to: str, **changes: Any) -> Any:
    usual = {"subject": "", "text": None, "templated": templated()}
    return submission(*to, **usual | changes)


async def mails(room: EngineRoom, session: UUID | None) -> dict[str, Any]:
    """Return each recipient's message, as `email` reads it; every signature has been verified."""
    assert session is not None
    found = {}
    for content in await envelopes(room, room.preparer(), session):
        assert [is_good for *_, is_good in signatures(content, KEYS)] == [True, True]
        message = parsed(content)
        found[str(message["To"])] = message
    return found


async def test_each_of_a_hundred_gets_its_own_and_the_content_is_stored_once(room: EngineRoom) -> None:
    to = [f"u{n}@a.example" for n in range(100)]
    own = tuple(personal(name=f"N{n}", code=f"{n}&{n}") for n in range(100))
    accepted = await room.accept(PROJECT, call(*to, personal=own))
    assert (accepted.recipient_count, accepted.rejected) == (100, ())
    assert (await counts(room.store))["content"] == 1
    found = await mails(room, accepted.session_id)
    for n in range(100):
        mail = found[f"u{n}@a.example"]
        assert mail["Subject"] == f"Hi N{n}"
        assert mail.get_body(("plain",)).get_content() == f"{n}&{n}\r\n"
        assert mail.get_body(("html",)).get_content() == f"<p>Code {n}&amp;{n}</p>\r\n"


async def test_who_lacks_a_variable_is_told_which_and_the_others_get_theirs(room: EngineRoom) -> None:
    own = (personal(name="Ann", code="1"), personal(name="Bob"), personal(code="3", name="C" * 70_000))
    accepted = await room.accept(PROJECT, call("ann@a.example", "bob@a.example", "cy@a.example", personal=own))
    assert accepted.recipient_count == 1
    bob, cy = accepted.rejected
    assert bob.address == "bob@a.example"
    assert "code" in bob.reason
    assert cy.address == "cy@a.example"
    assert list(await mails(room, accepted.session_id)) == ["ann@a.example"]


async def test_of_an_address_that_is_there_twice_the_first_counts(room: EngineRoom) -> None:
    own = (personal(name="Ann", code="1"), personal(name="Other", code="2"))
    accepted = await room.accept(PROJECT, call("ann@a.example", "Ann@A.example", personal=own))
    (mail,) = (await mails(room, accepted.session_id)).values()
    assert mail["Subject"] == "Hi Ann"


async def test_the_message_says_its_template_and_keeps_it(room: EngineRoom) -> None:
    session = await room.send(
        "ann@a.example", subject="", text=None, templated=templated(), personal=(personal(name="A", code="1"),)
    )
    async with room.store.transaction() as tx:
        loaded = (await messages.load(tx, [session]))[session]
    assert (loaded.message.template_id, loaded.message.template_number) == ("T1", 2)
    assert loaded.message.subject == "Hi {{ name }}", "for people: what it is made of"
    assert loaded.body.template == templated().template


async def test_the_calls_own_subject_counts_and_may_have_variables(room: EngineRoom) -> None:
    own = (personal(name="A", code="1"),)
    accepted = await room.accept(PROJECT, call(subject="For {{ name }}", personal=own))
    (mail,) = (await mails(room, accepted.session_id)).values()
    assert mail["Subject"] == "For A"


async def test_the_language_is_the_recipients(room: EngineRoom) -> None:
    given = templated()
    shown = template("Hi {{ name }}", "<p>x</p>", "x", de="Hallo {{ name }}")
    given = type(given)(template=shown)
    own = (Personal({"name": "A"}, "de-AT"), Personal({"name": "B"}))
    accepted = await room.accept(PROJECT, call("a@a.example", "b@a.example", templated=given, personal=own))
    found = await mails(room, accepted.session_id)
    assert [found[one]["Subject"] for one in ("a@a.example", "b@a.example")] == ["Hallo A", "Hi B"]


async def test_an_idempotency_key_covers_what_is_filled_in(room: EngineRoom) -> None:
    first = call(personal=(personal(name="A", code="1"),))
    other = call(personal=(personal(name="A", code="2"),))
    accepted = await room.accept(PROJECT, first, idempotency_key="k")
    assert (await room.accept(PROJECT, first, idempotency_key="k")).session_id == accepted.session_id
    with pytest.raises(CallerError, match="another request"):
        await room.accept(PROJECT, other, idempotency_key="k")


async def test_a_link_to_unsubscribe_is_each_recipients_own(room: EngineRoom) -> None:
    given = type(templated())(
        template=template("Hi", '<a href="{{ unsubscribe_link }}">x</a>', "{{ unsubscribe_link }}")
    )
    accepted = await room.accept(PROJECT, call("a@a.example", "b@a.example", templated=given))
    assert accepted.session_id is not None
    found = await mails(room, accepted.session_id)
    ids = {claim.address: claim.recipient_id for claim in await _claims(room, accepted.session_id)}
    for to, mail in found.items():
        link = f"{LINKS_ROOT}/unsubscribe?token={ids[to].hex}"
        assert mail.get_body(("plain",)).get_content().strip() == link
        assert f'"{link}"' in mail.get_body(("html",)).get_content().replace("&#x2f;", "/")


async def test_plain_content_may_show_the_link_too(room: EngineRoom) -> None:
    session = await room.send(
        "a@a.example", "b@a.example", text=None, html="<a href='%%user_defined_unsubscribe_link%%'>no more</a>{{ x }}"
    )
    ids = {claim.address: claim.recipient_id for claim in await _claims(room, session)}
    for to, mail in (await mails(room, session)).items():
        assert (
            mail.get_content().strip()
            == f"<a href='{LINKS_ROOT}/unsubscribe?token={ids[to].hex}'>no more</a>{{{{ x }}}}"
        )


async def test_a_link_that_would_lead_nowhere_is_refused(room: EngineRoom) -> None:
    room.links_root = ""
    accept = room.acceptor()
    with pytest.raises(CallerError, match="public_url") as caught:
        await accept(PROJECT, call(html="%%user_defined_unsubscribe_link%%", subject="Hi", templated=None))
    assert caught.value.field == "html"
    given = type(templated())(template=template("Hi", None, "{{ unsubscribe_link }}"))
    with pytest.raises(CallerError, match="public_url") as caught:
        await accept(PROJECT, call(templated=given))
    assert caught.value.field == "template"


async def test_marketing_mail_can_be_left_with_one_click(room: EngineRoom) -> None:
    session = await room.send("a@a.example", stream=Stream.MARKETING)
    (claim,) = await _claims(room, session)
    (mail,) = (await mails(room, session)).values()
    assert mail["List-Unsubscribe"] == f"<{LINKS_ROOT}/unsubscribe?token={claim.recipient_id.hex}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (content,) = await envelopes(room, room.preparer(), session)
    assert b"list-unsubscribe-post" in content.partition(b"bh=")[0], "RFC 8058 §4: both are signed"


async def _claims(room: EngineRoom, session: UUID) -> list[queue.Claim]:
    async with room.store.transaction() as tx:
        lanes = [row["lane_id"] for row in await tx.fetch("SELECT lane_id FROM lane")]
        return await queue.first_due(tx, lanes, now=room.clock.now(), busy=[], count_max=200)


async def test_nobody_whose_mail_can_be_made_is_no_session(room: EngineRoom) -> None:
    accepted = await room.accept(PROJECT, call(personal=(personal(name="A"),)))
    assert accepted.session_id is None
    assert [type(one) for one in accepted.rejected] == [Rejected]
    assert (await counts(room.store))["message"] == 0
