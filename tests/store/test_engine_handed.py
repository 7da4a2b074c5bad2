"""A message that came whole, from acceptance to signed bytes: as it was handed in, for each server what it can take."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from outrider.base import limits
from outrider.base.errors import CallerError, NotFoundError, TooLargeError
from outrider.base.vocab import Stream
from outrider.engine.submission import Submission
from outrider.services.outbox import Outbox
from outrider.store import messages
from outrider.store.pool import Store
from outrider.testing.engineroom import PROJECT, SENDER, EngineRoom, counts, signing_keys, submission
from outrider.wire.smtp_client import Envelope, Features
from tests.store.test_engine_prepare import claims_of, parsed, signatures

pytestmark = pytest.mark.newest

HEAD = (
    b"From: Shop <%b>\r\nTo: Ann <ann@a.example>\r\nSubject: Hello\r\nMessage-ID: <own@shop.example>\r\n"
    % SENDER.encode()
)
PLAIN = HEAD + b"\r\nHello,\r\n.\r\nworld\r\n"
MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
LETTER = HEAD + MIME + "\r\nGrüße\r\n".encode()
ALL = Features(has_8bitmime=True, has_smtputf8=True)


def whole(*to: str, raw: bytes = PLAIN, **changes: Any) -> Submission:
    return submission(*to, text=None, raw=raw, **changes)


async def made(room: EngineRoom, given: Submission, features: Features = ALL) -> Mapping[str, Envelope]:
    """Accept it, and return what goes to each recipient, by address."""
    accepted = await room.accept(PROJECT, given)
    assert accepted.session_id is not None
    preparer = room.preparer()
    composed = await preparer.compose({accepted.session_id})
    found = {}
    for claim in await claims_of(room, accepted.session_id):
        found[claim.address] = (await preparer.maker(composed[accepted.session_id], claim))(features)
    return found


def body_of(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[2]


async def test_every_recipient_gets_the_same_octets_signed(room: EngineRoom) -> None:
    found = await made(room, whole("ann@a.example", "bob@b.example", "eve@e.example"))
    assert len(found) == 3
    for to, envelope in found.items():
        assert envelope.recipients == (to,)
        assert envelope.content.endswith(PLAIN)
        assert (envelope.is_8bit, envelope.needs_smtputf8) == (False, False)
        assert [is_good for *_, is_good in signatures(envelope.content, signing_keys("s1"))] == [True, True]
        broken = envelope.content.replace(b"Subject: H", b"Subject: J", 1)
        assert [is_good for *_, is_good in signatures(broken, signing_keys("s1"))] == [False, False]


@pytest.mark.parametrize("has_8bitmime", [True, False])
async def test_a_server_gets_8_bits_only_if_it_takes_them(room: EngineRoom, *, has_8bitmime: bool) -> None:
    (envelope,) = (await made(room, whole(raw=LETTER), Features(has_8bitmime=has_8bitmime))).values()
    assert envelope.is_8bit == has_8bitmime
    assert envelope.content.isascii() != has_8bitmime
    assert (body_of(envelope.content) == body_of(LETTER)) == has_8bitmime
    assert parsed(envelope.content).get_content() == "Grüße\r\n"
    assert [is_good for *_, is_good in signatures(envelope.content, signing_keys("s1"))] == [True, True]


async def test_long_lines_are_cut_before_they_are_signed(room: EngineRoom) -> None:
    (envelope,) = (await made(room, whole(raw=HEAD + b"\r\n" + b"x" * 3000 + b"\r\n"))).values()
    assert max(map(len, envelope.content.split(b"\r\n"))) <= limits.LINE_BYTES_MAX
    assert parsed(envelope.content).get_content() == "x" * 3000 + "\r\n"
    assert [is_good for *_, is_good in signatures(envelope.content, signing_keys("s1"))] == [True, True]


async def test_an_address_that_is_not_ascii_wants_smtputf8_and_a_files_name_does_not(room: EngineRoom) -> None:
    needs = HEAD.replace(b"ann@a", "jörg@a".encode()) + b"\r\n"
    name = HEAD + 'Content-Type: text/plain; name="ü.txt"\r\n\r\n'.encode()
    for raw, is_needed in ((needs, True), (name, False), (PLAIN, False)):
        (envelope,) = (await made(room, whole(raw=raw))).values()
        assert envelope.needs_smtputf8 == is_needed
    (envelope,) = (await made(room, whole("jörg@a.example"))).values()
    assert envelope.needs_smtputf8


async def test_marketing_has_a_way_to_leave_unless_it_brings_one(room: EngineRoom) -> None:
    (envelope,) = (await made(room, whole(stream=Stream.MARKETING))).values()
    assert len(parsed(envelope.content).get_all("List-Unsubscribe")) == 1
    own = HEAD + b"List-Unsubscribe: <https://shop.example/leave>\r\n\r\nx\r\n"
    (envelope,) = (await made(room, whole(raw=own, stream=Stream.MARKETING))).values()
    assert parsed(envelope.content).get_all("List-Unsubscribe") == ["<https://shop.example/leave>"]


async def test_a_large_one_is_sent_and_counted(room: EngineRoom) -> None:
    raw = HEAD + b"\r\n" + b"line\r\n" * 100_000
    accepted = await room.accept(PROJECT, whole(raw=raw))
    assert accepted.session_id is not None
    preparer = room.preparer()
    composed = await preparer.compose({accepted.session_id})
    assert preparer.kept_bytes >= len(raw)
    (claim,) = await claims_of(room, accepted.session_id)
    envelope = (await preparer.maker(composed[accepted.session_id], claim))(ALL)
    assert hashlib.sha256(body_of(envelope.content)).digest() == hashlib.sha256(body_of(raw)).digest()


async def test_a_thousand_recipients_are_one_content(room: EngineRoom, store: Store) -> None:
    given = whole(*[f"u{number}@a.example" for number in range(1000)])
    accepted = await room.accept(PROJECT, given)
    assert accepted.recipient_count == 1000
    with pytest.raises(CallerError) as caught:
        await room.accept(PROJECT, msgspec.structs.replace(given, recipients=(*given.recipients, "one@b.example")))
    assert caught.value.field == "recipients"
    assert (await counts(store))["content"] == 1


async def test_what_the_door_knows_is_in_the_event(room: EngineRoom) -> None:
    accepted = await room.accept(PROJECT, whole(facts={"door": "smtp", "envid": "QQ", "recipient_count": 99}))
    assert accepted.session_id is not None
    (event,) = await room.events(accepted.session_id)
    assert (event.facts["door"], event.facts["envid"], event.facts["recipient_count"]) == ("smtp", "QQ", 1)


async def test_everybody_in_from_must_be_allowed(room: EngineRoom) -> None:
    with pytest.raises(NotFoundError) as caught:
        await room.accept(PROJECT, whole(also_from=("boss@bank.example",)))
    assert caught.value.field == "also_from"
    assert caught.value.public.startswith("boss@bank.example: That sender is not configured")
    assert (await room.accept(PROJECT, whole(also_from=(SENDER,)))).recipient_count == 1


async def test_a_subject_is_not_needed_and_too_much_is_refused(room: EngineRoom) -> None:
    assert (await room.accept(PROJECT, whole(subject=""))).recipient_count == 1
    with pytest.raises(TooLargeError):
        await room.accept(PROJECT, whole(raw=b"x" * (limits.SUBMISSION_MESSAGE_BYTES_MAX * 2)))


async def test_a_repeat_gets_the_first_answer_and_another_message_a_refusal(room: EngineRoom) -> None:
    first = await room.accept(PROJECT, whole(), idempotency_key="k")
    again = await room.accept(PROJECT, whole(), idempotency_key="k")
    assert (again.session_id, again.is_repeat) == (first.session_id, True)
    with pytest.raises(CallerError):
        await room.accept(PROJECT, whole(raw=LETTER), idempotency_key="k")


async def test_it_is_read_back_and_sent_again_as_it_was(room: EngineRoom, store: Store) -> None:
    accepted = await room.accept(PROJECT, whole(raw=LETTER))
    assert accepted.session_id is not None
    outbox = Outbox(store, room.accept)
    view = await outbox.content(PROJECT, accepted.session_id)
    assert (view.subject, view.text, view.html) == ("Hello", "Grüße\n", None)
    assert ("to", "Ann <ann@a.example>") in view.headers
    again = await outbox.resend(PROJECT, accepted.session_id)
    assert again.session_id is not None
    async with store.transaction() as tx:
        loaded = await messages.with_body(tx, PROJECT, again.session_id)
    assert loaded is not None
    assert loaded.body.raw == LETTER
