"""Station 3 on a real database: signed messages that others verify, one recipient each, and a bounded memory.

On one version of PostgreSQL: it runs one query, and tests/store/test_messages.py runs that on both.
"""

import asyncio
import email.policy
import re
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import dkim  # type: ignore[import-untyped]
import msgspec
import pytest

from outrider.base.errors import NotFoundError
from outrider.base.vocab import Stream, TrackedMail
from outrider.engine.dress import Ground
from outrider.engine.prepare import Composed, Preparer
from outrider.engine.submission import Attachment
from outrider.mail.dkim import SigningKey, public_record
from outrider.mail.link_tokens import Tokens
from outrider.policy.tracking import Terms
from outrider.store import queue
from outrider.store.queue import Claim
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import DOMAIN, PROJECT, SENDER, EngineRoom, OwnReturnPaths, signing_keys
from outrider.wire.smtp_client import Features

pytestmark = pytest.mark.newest


@pytest.fixture
def room_settings() -> dict[str, Any]:
    return {"drafts_bytes_max": 1_000_000}


async def claims_of(room: EngineRoom, session: UUID) -> list[Claim]:
    async with room.store.transaction() as tx:
        lanes = [row["lane_id"] for row in await tx.fetch("SELECT lane_id FROM lane")]
        due = await queue.first_due(tx, lanes, now=room.clock.now(), busy=[], count_max=200)
    return [claim for claim in due if claim.message_id == session]


async def envelopes(room: EngineRoom, preparer: Preparer, session: UUID) -> list[bytes]:
    composed = await preparer.compose({session})
    return [
        (await preparer.maker(composed[session], claim))(Features()).content for claim in await claims_of(room, session)
    ]


def signatures(content: bytes, keys: Sequence[SigningKey]) -> list[tuple[str, str, bool]]:
    """Return (algorithm, selector, verified) of each signature, by dkimpy."""
    records = {f"{key.selector}._domainkey.{DOMAIN}.": public_record(key).encode() for key in keys}
    found = []
    for at, value in enumerate(v for name, v in dkim.DKIM(content).headers if name.lower() == b"dkim-signature"):
        tags = dkim.parse_tag_value(value)
        is_good = dkim.DKIM(content).verify(idx=at, dnsfunc=lambda name, timeout=5: records.get(name.decode()))
        found.append((tags[b"a"].decode(), tags[b"s"].decode(), is_good))
    return sorted(found)


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_both_signatures_verify_for_every_recipient(room: EngineRoom) -> None:
    session = await room.send(
        "ann@a.example", "bob@b.example", subject="Grüße", from_name="Läden & Co.", html="<p>\u00fc</p>", text="ü\n.\n"
    )
    contents = await envelopes(room, room.preparer(), session)
    assert len(contents) == 2
    for content in contents:
        assert signatures(content, signing_keys("s1")) == [
            ("ed25519-sha256", "s1e", True),
            ("rsa-sha256", "s1r", True),
        ]
        broken = content.replace(b"To: ", b"To: x", 1)
        assert [is_good for *_, is_good in signatures(broken, signing_keys("s1"))] == [False, False]


class AllTracked:
    """A `TrackingBook`: everything is tracked."""

    tokens = Tokens(b"k" * 32)

    async def ground_of(self, project_id: UUID, sender_domain: str) -> Ground:
        terms = Terms(opens=TrackedMail.ALL, clicks=TrackedMail.ALL)
        return Ground(terms=terms, base_url="https://t.example", links_root="https://t.example")


async def test_tracked_mail_is_each_readers_own_and_its_signatures_verify(room: EngineRoom) -> None:
    link = '<a href="https://shop.example/x">x</a>'
    session = await room.send("ann@a.example", "bob@b.example", subject="Hi", html=link, text="x")
    clock, tracked = room.clock, AllTracked()
    preparer = Preparer(
        room.store, room.keys, OwnReturnPaths(), clock=clock, drafts_bytes_max=1_000_000, tracking=tracked
    )
    contents = await envelopes(room, preparer, session)
    assert contents == await envelopes(room, preparer, session), "the same on every attempt"
    found = set()
    for content in contents:
        assert all(is_good for *_, is_good in signatures(content, signing_keys("s1")))
        body = parsed(content).get_body(("html",))
        assert body is not None
        found |= set(re.findall(r"https://t.example/[to]/([\w-]+)", body.get_content()))
    assert len(found) == 4


async def test_each_recipient_sees_itself_and_nobody_else(room: EngineRoom) -> None:
    to = [f"u{n}@{domain}.example" for n in range(3) for domain in "ab"]
    session = await room.send(*to)
    contents = await envelopes(room, room.preparer(), session)
    assert sorted(parsed(content)["To"] for content in contents) == sorted(to)
    for content in contents:
        assert sum(one.encode() in content for one in to) == 1
        message = parsed(content)
        assert (message["Cc"], message["Bcc"]) == (None, None)
        assert (message["From"], message["Subject"]) == ("Shop <noreply@shop.example>", "Hello")
        assert message.get_content() == "Hello, world.\r\n"
        assert b"\n" not in content.replace(b"\r\n", b"")


async def test_the_message_id_is_the_recipients_on_every_attempt(room: EngineRoom) -> None:
    session = await room.send("ann@a.example", "bob@a.example")
    first = await envelopes(room, room.preparer(), session)
    again = await envelopes(room, room.preparer(), session)  # Another process, another attempt.
    ids = [parsed(content)["Message-ID"] for content in first]
    assert ids == [parsed(content)["Message-ID"] for content in again]
    assert ids == [f"<{one.recipient_id.hex}@{DOMAIN}>" for one in await claims_of(room, session)]
    assert len(set(ids)) == 2


async def test_the_date_is_that_of_acceptance_and_the_signature_is_of_now(room: EngineRoom, clock: FakeClock) -> None:
    session = await room.send()
    accepted_at = clock.now()
    clock.advance(7200)
    (content,) = await envelopes(room, room.preparer(), session)
    assert parsed(content)["Date"].datetime == accepted_at
    assert set(re.findall(rb" t=(\d+);", content)) == {str(int(clock.now().timestamp())).encode()}


async def test_new_keys_are_used_at_once_for_messages_that_are_kept(room: EngineRoom) -> None:
    session = await room.send()
    preparer = room.preparer()
    (before,) = await envelopes(room, preparer, session)
    room.keys.by_domain[DOMAIN] = signing_keys("s2")
    (after,) = await envelopes(room, preparer, session)
    assert [selector for _, selector, _ in signatures(before, signing_keys("s1"))] == ["s1e", "s1r"]
    assert signatures(after, signing_keys("s2")) == [("ed25519-sha256", "s2e", True), ("rsa-sha256", "s2r", True)]


async def test_without_a_key_nothing_goes_out_unsigned(room: EngineRoom) -> None:
    session = await room.send()
    room.keys.by_domain.clear()
    with pytest.raises(NotFoundError):
        await envelopes(room, room.preparer(), session)


async def test_an_address_that_needs_smtputf8_says_so(room: EngineRoom) -> None:
    session = await room.send("ann@bücher.example", "jörg@bücher.example")
    preparer = room.preparer()
    composed = await preparer.compose({session})
    made = [(await preparer.maker(composed[session], claim))(Features()) for claim in await claims_of(room, session)]
    assert sorted((one.recipients, one.needs_smtputf8) for one in made) == [
        (("ann@xn--bcher-kva.example",), False),
        (("jörg@xn--bcher-kva.example",), True),
    ]
    assert {one.sender for one in made} == {"noreply@shop.example"}


async def forget(room: EngineRoom) -> None:
    """Take every message out of the database: what is composed after this was kept."""
    async with room.store.transaction() as tx:
        await tx.execute("DELETE FROM message")


async def test_a_message_that_is_gone_is_missing(room: EngineRoom) -> None:
    session = await room.send()
    await forget(room)
    assert await room.preparer().compose({session}) == {}


async def test_what_is_kept_is_bounded_and_the_newest_used_stays(room: EngineRoom) -> None:
    sessions = [await room.send(text=f"{n}" * 300_000) for n in range(5)]
    preparer = room.preparer()  # For three of them.
    for session in sessions[:3]:
        await preparer.compose({session})
    await preparer.compose({sessions[0]})
    await preparer.compose({sessions[3]})
    await forget(room)
    assert set(await preparer.compose(set(sessions))) == {sessions[0], sessions[2], sessions[3]}


async def test_one_message_larger_than_the_bound_can_still_be_sent(room: EngineRoom) -> None:
    session = await room.send(text="x" * 3_000_000)
    (content,) = await envelopes(room, room.preparer(), session)
    assert len(content) > 3_000_000


async def test_lanes_that_ask_for_a_message_at_once_share_one_and_count_it_once(room: EngineRoom) -> None:
    """Counted once per asker, the memory would look full for ever and nothing would be kept any more."""
    preparer = room.preparer()
    large = await room.send(text="x" * 300_000)
    answers = await asyncio.gather(*(preparer.compose({large}) for _ in range(10)))
    assert len({id(answer[large]) for answer in answers}) == 1
    small = [await room.send(text=f"small {n}") for n in range(20)]
    for session in small:
        await preparer.compose({session})
    await forget(room)
    kept = await preparer.compose({large, *small})
    assert len(kept) == 21
    assert all(isinstance(one, Composed) for one in kept.values())


async def test_answers_go_where_they_should_and_that_is_signed(room: EngineRoom) -> None:
    session = await room.send("user@a.example", reply_to=("ann@gmail.test",), from_name="Ann via Shop")
    (content,) = await envelopes(room, room.preparer(), session)
    message = parsed(content)
    assert (message["Reply-To"], str(message["From"])) == ("ann@gmail.test", f"Ann via Shop <{SENDER}>")
    keys = signing_keys("s1")
    assert [is_good for _, _, is_good in signatures(content, keys)] == [True, True]
    stolen = content.replace(b"Reply-To: ann@gmail.test", b"Reply-To: eve@gmail.test")
    assert [is_good for _, _, is_good in signatures(stolen, keys)] == [False, False]


INVOICE = Attachment(name="Rechnung März.pdf", type="application/pdf", content=b"%PDF\x00\xff" * 5000)
LOGO = Attachment(name="logo.png", type="image/png", content=b"\x89PNG", content_id="logo")


async def test_a_mail_with_files_is_signed_with_them(room: EngineRoom) -> None:
    session = await room.send("ann@a.example", "bob@b.example", html="<img src=cid:logo>", attachments=(INVOICE, LOGO))
    contents = await envelopes(room, room.preparer(), session)
    for content in contents:
        assert [is_good for *_, is_good in signatures(content, signing_keys("s1"))] == [True, True]
        (invoice,) = parsed(content).iter_attachments()
        assert (invoice.get_filename(), invoice.get_payload(decode=True)) == (INVOICE.name, INVOICE.content)


async def test_an_empty_file_travels(room: EngineRoom) -> None:
    empty = Attachment(name="empty.csv", type="text/csv", content=b"")
    (content,) = await envelopes(room, room.preparer(), await room.send(attachments=(empty,)))
    assert [is_good for *_, is_good in signatures(content, signing_keys("s1"))] == [True, True]
    (file,) = parsed(content).iter_attachments()
    assert (file.get_filename(), file.get_payload(decode=True)) == ("empty.csv", b"")


async def test_files_are_stored_once_and_read_once_for_all_recipients_of_a_message(room: EngineRoom) -> None:
    renamed = msgspec.structs.replace(INVOICE, name="other.pdf")
    session = await room.send(*(f"u{n}@a.example" for n in range(5)), attachments=(INVOICE, renamed))
    await room.send(attachments=(INVOICE,))
    async with room.store.transaction() as tx:
        assert len(await tx.fetch("SELECT project_id FROM attachment")) == 1
    preparer = room.preparer()
    composed = await preparer.compose({session})
    claims = await claims_of(room, session)
    makers = await asyncio.gather(*(preparer.maker(composed[session], claim) for claim in claims))
    names = [[one.get_filename() for one in parsed(make(Features()).content).iter_attachments()] for make in makers]
    assert names == [[INVOICE.name, "other.pdf"]] * 5


async def test_files_are_brought_for_attempts_and_not_for_claims(room: EngineRoom) -> None:
    session = await room.send(attachments=(INVOICE,))
    composed = (await room.preparer().compose({session}))[session]
    assert composed.draft is None
    assert composed.sized_bytes() < 10_000


async def test_a_message_whose_file_is_gone_is_not_sent_without_it(room: EngineRoom) -> None:
    session = await room.send(attachments=(INVOICE,))
    async with room.store.transaction() as tx:
        await tx.execute("DELETE FROM attachment WHERE project_id = $1", PROJECT)
    with pytest.raises(NotFoundError, match="file"):
        await envelopes(room, room.preparer(), session)


async def test_large_files_do_not_stay_for_ever(room: EngineRoom) -> None:
    preparer = room.preparer()
    for n in range(4):
        large = Attachment(name="a.bin", type="a/b", content=bytes([n]) * 600_000)
        await envelopes(room, preparer, await room.send(attachments=(large,)))
    assert preparer.kept_bytes <= 2_000_000


async def test_copies_are_shown_and_blind_copies_are_not(room: EngineRoom) -> None:
    to = ("ann@a.example", "bob@b.example", "eve@e.example")
    session = await room.send(*to, shown_to=("Ann <ann@a.example>",), shown_cc=("bob@b.example",))
    contents = await envelopes(room, room.preparer(), session)
    assert len(contents) == 3
    for content in contents:
        message = parsed(content)
        assert (message["To"], message["Cc"], message["Bcc"]) == ("Ann <ann@a.example>", "bob@b.example", None)
        assert b"eve@" not in content
        assert [is_good for *_, is_good in signatures(content, signing_keys("s1"))] == [True, True]
        broken = content.replace(b"Cc: bob", b"Cc: bab", 1)
        assert [is_good for *_, is_good in signatures(broken, signing_keys("s1"))] == [False, False]


async def test_a_callers_own_fields_and_way_to_leave_are_kept(room: EngineRoom) -> None:
    session = await room.send(
        stream=Stream.MARKETING,
        headers=(("X-Order", "1042"), ("List-Unsubscribe", "<https://shop.example/leave>")),
        reply_to=("Help <help@shop.example>", "boss@shop.example"),
    )
    (content,) = await envelopes(room, room.preparer(), session)
    message = parsed(content)
    assert message["X-Order"] == "1042"
    assert message.get_all("List-Unsubscribe") == ["<https://shop.example/leave>"]
    assert message["Reply-To"] == "Help <help@shop.example>, boss@shop.example"
