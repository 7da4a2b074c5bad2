"""The relay over real sockets: who may hand in mail, what becomes of it, and who is hung up on."""

import asyncio
import base64
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from outrider.base import limits, networks
from outrider.base.errors import (
    CallerError,
    ContentRefusedError,
    ForbiddenError,
    LimitReachedError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from outrider.base.vocab import KeyScope
from outrider.engine.submission import Accepted, Rejected
from outrider.services.access import Caller
from outrider.testing.clock import until
from outrider.testing.engine import SESSION_ID
from tests.unit.faces.smtp.relay_room import MAIL, PLAIN, PROJECT, SECRET, USER, RelayRoom, trusting
from tests.unit.faces.smtp.test_catch import Client

QUEUED = f"250 2.0.0 queued as {SESSION_ID}"
LONG_S = 3600.0


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[RelayRoom]:
    async with RelayRoom(tmp_path) as made:
        yield made


async def test_what_content_checks_refuse_is_refused_with_their_sentence(room: RelayRoom) -> None:
    room.engine.error = ContentRefusedError("The content looks like junk to the filter: score 15.", field="content")
    client = await room.logged_in()
    assert await client.send(MAIL) == "550 5.7.1 The content looks like junk to the filter: score 15."


async def test_a_mail_is_accepted_before_its_250(room: RelayRoom) -> None:
    room.engine.gate = asyncio.Event()
    client = await room.logged_in()
    sending = asyncio.get_running_loop().create_task(client.send(MAIL))
    await room.engine.asked.wait()
    assert not sending.done()
    room.engine.gate.set()
    assert await sending == QUEUED
    ((project_id, submission, key),) = room.engine.calls
    assert (project_id, key, submission.recipients) == (PROJECT, "", ("b@x.example",))
    assert submission.raw is not None
    assert submission.raw.startswith(b"Received: by relay.example (Outrider) with ESMTPA id ")
    assert submission.raw.endswith(b"\r\n\r\nbody\r\n")
    assert submission.facts == {"door": "smtp", "client": "127.0.0.1", "envelope_sender": "a@shop.example"}


@pytest.mark.parametrize(
    "sender", ["root@myhost", "apache@localhost", "www-data@web_01.example", "fax@[10.1.2.3]", "printer"]
)
async def test_the_envelope_sender_is_the_clients_own_matter(room: RelayRoom, sender: str) -> None:
    client = await room.logged_in()
    assert await client.send(MAIL, f"<{sender}>") == QUEUED
    (submission,) = room.engine.submissions
    assert (submission.facts["envelope_sender"], submission.sender) == (sender, "noreply@shop.example")


@pytest.mark.parametrize("is_first", [True, False])
async def test_smtplib_sends_over_tls(room: RelayRoom, *, is_first: bool) -> None:
    port = room.tls_port.port if is_first else room.open_port.port

    def send() -> dict[str, tuple[int, bytes]]:
        if is_first:
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, context=trusting(), timeout=10)
        else:
            client = smtplib.SMTP("127.0.0.1", port, timeout=10)
            client.starttls(context=trusting())
        with client:
            client.login(USER, SECRET)
            return client.sendmail("a@shop.example", ["b@partner.example", "c@partner.example"], MAIL)

    assert await asyncio.to_thread(send) == {}
    (submission,) = room.engine.submissions
    assert submission.recipients == ("b@partner.example", "c@partner.example")
    assert b"with ESMTPSA id" in (submission.raw or b"")


async def test_login_by_name_and_password_asked_for(room: RelayRoom) -> None:
    client = await room.dial()
    await client.greet()
    assert (await client.say("AUTH LOGIN")).startswith("334 ")
    assert (await client.say(base64.b64encode(USER.encode()))).startswith("334 ")
    assert (await client.say(base64.b64encode(SECRET.encode()))).startswith("235 ")
    assert room.keys.shown[0].client == "127.0.0.1"


async def test_no_password_is_taken_in_the_clear_unless_the_settings_say_so(tmp_path: Path) -> None:
    async with RelayRoom(tmp_path, is_plain_auth_on_loopback=False) as room:
        client = await room.dial()
        assert "AUTH" not in await client.greet()
        assert (await client.say(PLAIN)).startswith("538 5.7.11 ")
        assert (await client.say("MAIL FROM:<a@b.example>")).startswith("530 5.7.0 STARTTLS")
        assert room.keys.shown == []


async def test_a_login_counts_for_its_connection_only(room: RelayRoom) -> None:
    await room.logged_in()
    other = await room.dial()
    await other.greet()
    assert (await other.say("MAIL FROM:<a@b.example>")).startswith("530 ")


# -- Who may not.


async def wrong(client: Client, number: int) -> "asyncio.Task[str]":
    guess = base64.b64encode(f"\0{USER}\0wrong{number}".encode()).decode()
    return asyncio.get_running_loop().create_task(client.say(f"AUTH PLAIN {guess}"))


async def test_a_wrong_password_waits_for_its_answer(room: RelayRoom) -> None:
    client = await room.dial()
    await client.greet()
    answer = await wrong(client, 1)
    await room.clock.wait_for_sleepers(2)
    assert not answer.done()
    room.clock.advance(0.5)
    assert (await answer).startswith("535 5.7.8 ")
    assert b'outrider_smtp_logins_failed_total{reason="wrong"} 1.0' in room.metrics.render()
    assert (await client.say(PLAIN)).startswith("235 ")


async def test_who_guesses_is_banned_and_who_is_in_stays(room: RelayRoom) -> None:
    inside = await room.logged_in()
    for number in range(10):
        client = await room.dial()
        await client.greet()
        answer = await wrong(client, number)
        await room.clock.wait_for_sleepers(2)
        room.clock.advance(8.0)
        await answer
    banned = await room.dial()
    assert (await banned.hear()).startswith("421 4.7.0 ")
    assert await inside.send(MAIL) == QUEUED
    assert b'outrider_smtp_logins_failed_total{reason="banned"} 1.0' in room.metrics.render()


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (ForbiddenError("This key may not be used from your address."), "535 5.7.8 This key may not be used from"),
        (StoreUnavailableError("away"), "454 4.7.0 "),
    ],
)
async def test_logins_that_are_no_guesses_do_not_wait(room: RelayRoom, error: Exception, reply: str) -> None:
    room.keys.error = error  # type: ignore[assignment]
    client = await room.dial()
    await client.greet()
    assert (await client.say(PLAIN)).startswith(reply)


async def test_a_key_that_may_only_read_does_not_get_in(room: RelayRoom) -> None:
    room.keys.caller = Caller(project_id=PROJECT, access_key_id=USER, scopes=frozenset({KeyScope.READ}))
    client = await room.dial()
    await client.greet()
    assert (await client.say(PLAIN)).startswith("535 5.7.8 This key lacks the scope 'send'")


async def test_each_transaction_asks_again_and_spends_a_call(room: RelayRoom) -> None:
    client = await room.logged_in()
    await client.send(MAIL)
    await client.send(MAIL)
    assert room.keys.spent_count == 2
    room.keys.spend_error = LimitReachedError("This key may make 2 calls a minute.", retry_after_s=3.0)
    assert (await client.say("MAIL FROM:<a@b.example>")).startswith("451 4.7.1 This key may make 2")
    room.keys.spend_error, room.keys.error = None, UnauthenticatedError("revoked")
    assert (await client.say("MAIL FROM:<a@b.example>")).startswith("530 5.7.0 ")
    room.keys.error = StoreUnavailableError("away")
    assert (await client.say("MAIL FROM:<a@b.example>")).startswith("451 4.3.0 ")


async def test_listed_networks_need_no_password_and_others_do(tmp_path: Path) -> None:
    listed = [(networks.parse("192.0.2.0/24"), "other"), (networks.parse("127.0.0.0/8"), USER)]
    async with RelayRoom(tmp_path, networks=listed) as room:
        client = await room.dial()
        await client.greet()
        assert await client.send(MAIL) == QUEUED
        assert room.keys.trusted == [(USER, "127.0.0.1")]
        assert b"with ESMTP id" in (room.engine.submissions[0].raw or b"")
        room.keys.error = ForbiddenError("This key may not be used from your address.")
        assert (await client.say("MAIL FROM:<a@b.example>")).startswith("550 5.7.1 ")
    async with RelayRoom(tmp_path, networks=listed[:1]) as room:
        client = await room.dial()
        await client.greet()
        assert (await client.say("MAIL FROM:<a@b.example>")).startswith("530 ")


# -- Recipients and answers.


async def test_a_bad_recipient_is_told_at_once_and_the_others_get_their_mail(room: RelayRoom) -> None:
    client = await room.logged_in()
    await client.say("MAIL FROM:<a@shop.example>")
    for to in ("<nobody>", "<a@b@c.example>", "<@hop.example:a@b.example>", "<a@[127.0.0.1]>", "<a@localhost>", "<>"):
        assert (await client.say(f"RCPT TO:{to}")).startswith("553 5.1.3 "), to
    assert (await client.say("RCPT TO:<b@partner.example>")).startswith("250 ")
    await client.say("DATA")
    assert await client.say(MAIL + b".") == QUEUED
    assert room.engine.submissions[0].recipients == ("b@partner.example",)


async def test_a_thousand_recipients_are_one_submission(room: RelayRoom) -> None:
    client = await room.logged_in()
    await client.say("MAIL FROM:<a@shop.example>")
    client.writer.write(b"".join(b"RCPT TO:<u%d@partner.example>\r\n" % n for n in range(1001)))
    codes = [(await client.hear())[:3] for _ in range(1001)]
    assert codes == ["250"] * 1000 + ["452"]
    await client.say("DATA")
    assert await client.say(MAIL + b".") == QUEUED
    assert len(room.engine.submissions[0].recipients) == 1000


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (StoreUnavailableError("The database is away."), "451 4.3.0 The mail could not be stored; try again later"),
        (LimitReachedError("The quota is used up.", retry_after_s=3600.0), "452 4.5.3 The quota is used up."),
        (CallerError("At most 20 tags.", field="tags"), "550 5.6.0 X-Outrider-Tag: At most 20 tags."),
        (CallerError("No such sender.", field="sender"), "550 5.7.1 From: No such sender."),
        (RuntimeError("a bug"), "451 4.3.0 Something went wrong here"),
    ],
)
async def test_what_the_engine_refuses_is_said(room: RelayRoom, error: Exception, reply: str) -> None:
    room.engine.error = error
    client = await room.logged_in()
    assert await client.send(MAIL) == reply
    room.engine.error = None
    assert await client.send(MAIL) == QUEUED
    assert room.journal.count("submission_failed") == isinstance(error, RuntimeError)


async def test_who_is_rejected_at_the_end_is_named(room: RelayRoom) -> None:
    client = await room.logged_in()
    gone = (Rejected("x@b.example", "recipient suppressed"),)
    room.engine.answer = Accepted(SESSION_ID, 1, gone)
    assert await client.send(MAIL) == f"{QUEUED}; without 1 rejected: x@b.example (recipient suppressed)"
    room.engine.answer = Accepted(None, 0, gone)
    assert (await client.send(MAIL)).startswith("550 5.1.1 No recipient was accepted: x@b.example (recipient")


# -- Who takes too long, or too much.


async def passed(room: RelayRoom, seconds: float) -> None:
    room.clock.advance(seconds)
    await room.clock.wait_for_sleepers(1)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        (b"", limits.SUBMISSION_STRANGER_WAIT_S),
        (b"EHLO x\r\nNOOP\r\n", limits.SUBMISSION_STRANGER_WAIT_S),
    ],
)
async def test_a_stranger_has_a_minute(room: RelayRoom, said: bytes, wait_s: float) -> None:
    client = await room.dial()
    await client.hear()
    client.writer.write(said)
    for _ in range(said.count(b"\r\n")):
        await client.hear()
    await passed(room, wait_s - 1.0)
    client.writer.write(b"N")
    await passed(room, 2.0)
    assert (await client.hear()).startswith("421 4.4.2 ")
    assert await client.hear() == ""


@pytest.mark.parametrize(("is_body", "wait_s"), [(False, 300.0), (True, 600.0)])
async def test_dripping_does_not_buy_time(room: RelayRoom, *, is_body: bool, wait_s: float) -> None:
    client = await room.logged_in()
    if is_body:
        await client.say("MAIL FROM:<a@shop.example>")
        await client.say("RCPT TO:<b@partner.example>")
        await client.say("DATA")
    for _ in range(int(wait_s // 20)):
        client.writer.write(b"x")
        await passed(room, 20.0)
    await passed(room, 2.0)
    assert (await client.hear()).startswith("421 4.4.2 ")


async def test_one_client_has_so_many_connections_and_others_more(room: RelayRoom) -> None:
    room.relay.by_client["127.0.0.1"] = limits.SUBMISSION_CONVERSATIONS_OF_ONE_COUNT_MAX
    client = await room.dial()
    assert (await client.hear()).startswith("421 4.3.2 ")
    room.relay.by_client["127.0.0.1"] = limits.SUBMISSION_CONVERSATIONS_OF_ONE_COUNT_MAX - 1
    assert (await (await room.dial()).hear()).startswith("220 ")


async def take_all_places(room: RelayRoom) -> None:
    for n in range(limits.SUBMISSION_LARGE_COUNT_MAX):
        await room.relay.places.acquire(UUID(int=n % 2))


async def begin_large(room: RelayRoom) -> Client:
    """Return a client that has sent a part of a large message."""
    client = await room.logged_in()
    for line in ("MAIL FROM:<a@shop.example>", "RCPT TO:<b@partner.example>", "DATA"):
        await client.say(line)
    client.writer.write(MAIL + b"x" * 4_000_000)
    return client


async def test_one_project_leaves_places_for_large_messages_to_others(room: RelayRoom) -> None:
    for _ in range(limits.SUBMISSION_LARGE_OF_ONE_COUNT_MAX):
        await begin_large(room)
    places = room.relay.places
    await until(lambda: places.taken_count == limits.SUBMISSION_LARGE_OF_ONE_COUNT_MAX)
    await begin_large(room)
    room.keys.caller = Caller(project_id=UUID(int=8), access_key_id=USER)
    await begin_large(room)
    await until(lambda: places.taken_count == limits.SUBMISSION_LARGE_OF_ONE_COUNT_MAX + 1)


async def test_large_messages_wait_for_a_place(room: RelayRoom) -> None:
    await take_all_places(room)
    client = await room.logged_in()
    await client.say("MAIL FROM:<a@shop.example>")
    await client.say("RCPT TO:<b@partner.example>")
    await client.say("DATA")
    body = b"x" * 70 + b"\r\n"
    client.writer.write(MAIL + body * (8 * 1024 * 1024 // len(body)) + b".\r\n")
    small = await room.logged_in()
    assert await small.send(MAIL) == QUEUED
    assert len(room.engine.calls) == 1
    room.relay.places.release(UUID(int=0))
    assert await client.hear() == QUEUED
    await small.send(MAIL)
    assert room.relay.places.taken_count == limits.SUBMISSION_LARGE_COUNT_MAX - 1


async def test_what_is_too_large_is_thrown_away_and_takes_no_place(room: RelayRoom) -> None:
    client = await room.logged_in()
    await client.say("MAIL FROM:<a@shop.example>")
    await client.say("RCPT TO:<b@partner.example>")
    await client.say("DATA")
    part = b"x" * 1_000_000
    for _ in range(limits.SUBMISSION_MESSAGE_BYTES_MAX // len(part) + 2):
        client.writer.write(part)
        await client.writer.drain()
    client.writer.write(b"\r\n.\r\n")
    assert (await client.hear()).startswith("552 5.3.4 ")
    assert (await client.say("NOOP")).startswith("250 ")
    assert room.relay.places.taken_count == 0
    assert room.engine.calls == []


async def test_stopping_lets_a_message_finish_and_ends_the_idle(room: RelayRoom) -> None:
    room.engine.gate = asyncio.Event()
    idle, busy = await room.logged_in(), await room.logged_in()
    sending = asyncio.get_running_loop().create_task(busy.send(MAIL))
    await room.engine.asked.wait()
    stopping = asyncio.get_running_loop().create_task(room.stop())
    room.engine.gate.set()
    assert await sending == QUEUED
    assert (await idle.hear()).startswith("421 4.3.2 ")
    await stopping
    assert room.relay.talks == set()


async def test_stopping_waits_for_nobody_who_guesses_or_does_not_read_or_waits_for_a_place(room: RelayRoom) -> None:
    guesser, reader, large = await room.dial(), await room.dial(), await room.logged_in()
    await guesser.greet()
    await wrong(guesser, 1)
    await room.clock.wait_for_sleepers(2)
    reader.writer.transport.pause_reading()  # type: ignore[attr-defined]
    reader.writer.write(b"EHLO x\r\n" * 900)
    await take_all_places(room)
    for line in ("MAIL FROM:<a@shop.example>", "RCPT TO:<b@partner.example>", "DATA"):
        await large.say(line)
    large.writer.write(MAIL + b"x" * 4_000_000)
    await room.clock.run_for(0.1)
    async with asyncio.timeout(5.0):
        await room.stop()


async def test_who_waits_for_a_place_and_goes_leaves_it_to_others(room: RelayRoom) -> None:
    await take_all_places(room)
    client = await begin_large(room)
    await room.clock.run_for(0.1)
    client.writer.transport.abort()  # Who does not read does not see that: time tells.
    await passed(room, limits.SUBMISSION_MESSAGE_WAIT_S + 2.0)
    await until(lambda: not room.relay.talks)
    room.relay.places.release(UUID(int=0))
    assert room.relay.places.taken_count == limits.SUBMISSION_LARGE_COUNT_MAX - 1
    async with asyncio.timeout(5.0):
        await room.stop()
    assert room.relay.places.taken_count == limits.SUBMISSION_LARGE_COUNT_MAX - 1


async def test_a_client_that_is_gone_loses_nothing_that_was_taken(room: RelayRoom) -> None:
    room.engine.gate = asyncio.Event()
    client = await room.logged_in()
    sending = asyncio.get_running_loop().create_task(client.send(MAIL))
    await room.engine.asked.wait()
    client.writer.transport.abort()
    room.engine.gate.set()
    assert await sending == ""
    assert await (await room.logged_in()).send(MAIL) == QUEUED
    assert len(room.engine.calls) == 2
