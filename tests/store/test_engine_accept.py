"""Station 1 on a real database: what is stored, for whom, and how often. Refusals are in tests/unit/engine."""

import asyncio
import hashlib
import random
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from outrider.app import make_context, make_services
from outrider.base import limits
from outrider.base.errors import BusyError, CallerError, ConflictError, ForbiddenError, NotFoundError
from outrider.base.vocab import EventKind, RecipientStatus, Stream, SuppressionOrigin, SuppressionScope
from outrider.config import load
from outrider.engine.accept import Acceptor
from outrider.engine.books import AllowedSender, Rewritten
from outrider.engine.submission import Accepted, Attachment, Rejected
from outrider.mail import address
from outrider.mail.address import Address
from outrider.store import events, lanes, messages, suppressions
from outrider.store.pool import Store
from outrider.store.suppressions import Suppression
from outrider.testing.clock import FakeClock
from outrider.testing.engineroom import (
    DOMAIN,
    OTHER_PROJECT,
    PROJECT,
    SENDER,
    EngineRoom,
    Journal,
    counts,
    running,
    submission,
)


async def rows(store: Store, sql: str, *arguments: object) -> list[dict[str, Any]]:
    async with store.transaction() as tx:
        return [dict(row) for row in await tx.fetch(sql, *arguments)]


async def test_a_hundred_recipients_are_one_content_one_message_and_a_hundred_rows(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    to = [f"u{n}@{'abcdefghij'[n % 10]}.example" for n in range(100)]
    accepted = await room.accept(PROJECT, submission(*to, from_name="", html="<p>Hi</p>"))
    assert (accepted.recipient_count, accepted.rejected) == (100, ())
    assert await counts(store) == {
        "content": 1, "message": 1, "recipient": 100, "queue": 100, "event": 1, "idempotency": 0
    }  # fmt: skip
    assert accepted.session_id is not None
    found = await room.recipients(accepted.session_id)
    assert list(found) == to, "in the caller's order"
    assert {one.status for one in found.values()} == {RecipientStatus.QUEUED}
    routes = await rows(
        store,
        "SELECT address, pool, route, stream, shard, due_at, expires_at, q.attempt, next_due_at"
        "  FROM queue q JOIN lane USING (lane_id) JOIN recipient USING (recipient_id)",
    )
    assert len(routes) == 100
    for row in routes:
        assert (row["pool"], row["route"], row["shard"]) == ("default", row["address"].partition("@")[2], 0)
        assert (row["stream"], row["attempt"]) == ("transactional", 0)
        assert row["due_at"] == row["next_due_at"] == clock.now()
        assert row["expires_at"] == clock.now() + timedelta(hours=72)


async def test_the_message_is_kept_as_it_was_given(room: EngineRoom, store: Store, clock: FakeClock) -> None:
    html = "<p>Grüße \U0001f389</p>"
    session = await room.send("ann@a.example", subject="Übrigens", from_name="Läden & Co.", html=html, text=None)
    async with store.transaction() as tx:
        loaded = (await messages.load(tx, [session]))[session]
    message = loaded.message
    assert (message.sender, message.from_name, message.subject) == (SENDER, "Läden & Co.", "Übrigens")
    assert (loaded.body.text, loaded.body.html) == (None, html)
    day = clock.now().date().isoformat().encode()
    assert message.content_hash == hashlib.sha256(day + messages.encode_body(loaded.body)).digest()
    assert (message.accepted_at, message.recipient_count) == (clock.now(), 1)
    (event,) = await room.events(session)
    assert (event.kind, event.recipient_id) == (EventKind.ACCEPTED, None)
    assert event.facts == {"recipient_count": 1, "rejected_count": 0}


async def test_without_a_name_the_senders_own_is_taken(room: EngineRoom, store: Store) -> None:
    session = await room.send()
    async with store.transaction() as tx:
        assert (await messages.load(tx, [session]))[session].message.from_name == "Shop"


async def test_the_longest_allowed_is_accepted(room: EngineRoom, store: Store) -> None:
    text = "é" * (limits.CONTENT_BYTES_MAX // 2)
    session = await room.send("ann@a.example", subject="ß" * 200, from_name="ü" * 200, text=text)
    async with store.transaction() as tx:
        assert (await messages.load(tx, [session]))[session].body.text == text


async def test_a_duplicate_is_sent_once_however_it_is_spelled(room: EngineRoom) -> None:
    accepted = await room.accept(
        PROJECT,
        submission(
            "Ann@a.example", "ann@A.EXAMPLE", "bob@bücher.example", "bob@xn--bcher-kva.example", "BOB@BÜCHER.example"
        ),
    )
    assert accepted.recipient_count == 2
    assert accepted.session_id is not None
    assert list(await room.recipients(accepted.session_id)) == ["Ann@a.example", "bob@xn--bcher-kva.example"]


async def test_a_bad_recipient_harms_no_other(room: EngineRoom) -> None:
    accepted = await room.accept(PROJECT, submission("ann@a.example", "bob", "x\r\n@a.example", "cat@c.example"))
    assert accepted.recipient_count == 2
    assert accepted.rejected == (
        Rejected("bob", "invalid address: no @"),
        Rejected("x\r\n@a.example", "invalid address: line break, control or invisible character"),
    )
    assert accepted.session_id is not None
    assert list(await room.recipients(accepted.session_id)) == ["ann@a.example", "cat@c.example"]
    (event,) = await room.events(accepted.session_id)
    assert event.facts == {"recipient_count": 2, "rejected_count": 2}


async def test_examining_refuses_what_accepting_does_and_stores_nothing(room: EngineRoom, store: Store) -> None:
    examine = room.accept.examine
    assert list(await examine(PROJECT, submission("ann@a.example", "bob"), domains={SENDER.partition("@")[2]})) == [
        Rejected("bob", "invalid address: no @")
    ]
    for refused, error, field in (
        (submission(subject=" "), CallerError, "subject"),
        (submission(sender="nobody@shop.example"), NotFoundError, "sender"),
        (submission(sender="nobody"), CallerError, "sender"),
    ):
        with pytest.raises(error) as caught:
            await examine(PROJECT, refused)
        assert caught.value.field == field
    with pytest.raises(ForbiddenError):
        await examine(PROJECT, submission(), domains={"other.example"})
    assert set((await counts(store)).values()) == {0}


async def test_after_refusals_of_every_kind_nothing_is_stored(room: EngineRoom, store: Store) -> None:
    bad: list[dict[str, Any]] = [
        {"recipients": ()},
        {"recipients": ("ann@a.example",) * 101},
        {"subject": ""},
        {"subject": "x" * 201},
        {"subject": "a\r\nBcc: x@y.example"},
        {"from_name": "a\x00"},
        {"from_name": "Bank <a@b.example>"},
        {"text": ""},
        {"text": "\x00"},
        {"text": "x" * (limits.CONTENT_BYTES_MAX + 1)},
        {"sender": "nobody"},
        {"sender": "unknown@shop.example"},
    ]
    for changes in bad:
        with pytest.raises(CallerError):
            await room.accept(PROJECT, submission(**changes), idempotency_key="once")
    with pytest.raises(CallerError):
        await room.accept(PROJECT, submission(), idempotency_key="k" * 256)
    nobody = await room.accept(PROJECT, submission("nobody", "@"), idempotency_key="once")
    assert nobody.session_id is None
    assert set((await counts(store)).values()) == {0}
    assert await rows(store, "SELECT FROM lane") == []


async def test_identical_content_is_stored_once_per_project(room: EngineRoom, store: Store) -> None:
    for project in (PROJECT, PROJECT, OTHER_PROJECT, PROJECT):
        await room.accept(project, submission("ann@a.example", subject="Another"))
    await asyncio.gather(*(room.accept(PROJECT, submission(subject=f"At once {n}")) for n in range(10)))
    assert await counts(store) | {"queue": 0} == {
        "content": 2, "message": 14, "recipient": 14, "queue": 0, "event": 14, "idempotency": 0
    }  # fmt: skip


async def test_concurrent_callers_share_commits(room: EngineRoom, store: Store) -> None:
    await room.send()  # The lane is known from here on.
    assert room.sample("outrider_write_batch_rows_count", station="accept") == 1
    sessions = await asyncio.gather(*(room.send("ann@a.example", subject=f"n {n}") for n in range(200)))
    assert len(set(sessions)) == 200
    assert room.sample("outrider_write_batch_rows_count", station="accept") == 2
    transactions = await rows(store, "SELECT count(DISTINCT xid) FROM event")
    assert transactions == [{"count": 2}]
    assert room.sample("outrider_accepted_recipients_total") == 201


async def test_a_commit_does_not_grow_without_bound(store: Store, clock: FakeClock) -> None:
    room = EngineRoom(store, clock, accept_weight_max=100)
    to = [f"u{n}@a.example" for n in range(60)]
    async with running(room.accept):
        await room.send(*to)
        await asyncio.gather(*(room.send(*to) for _ in range(6)))
    assert [row["count"] for row in await rows(store, "SELECT count(*) FROM event GROUP BY xid ORDER BY xid")] == [
        1, 2, 2, 2
    ]  # fmt: skip


async def test_a_stream_has_its_own_lane(room: EngineRoom, store: Store) -> None:
    await room.send("ann@a.example")
    await room.send("ann@a.example", stream=Stream.MARKETING)
    assert {row["stream"] for row in await rows(store, "SELECT stream FROM lane JOIN queue USING (lane_id)")} == {
        "transactional",
        "marketing",
    }


async def test_accepting_wakes_whoever_listens(room: EngineRoom, store: Store) -> None:
    heard = asyncio.Event()
    async with store.listening("outrider_wake", lambda _: heard.set()):
        await room.send()
        async with asyncio.timeout(10):
            await heard.wait()


async def test_after_a_stop_nothing_is_taken_and_what_was_taken_is_written(store: Store, clock: FakeClock) -> None:
    room = EngineRoom(store, clock)
    async with running(room.accept):
        await room.send()
        waiting = [asyncio.ensure_future(room.send(subject=f"n {n}")) for n in range(5)]
        await asyncio.sleep(0)  # The lane is known, so this brings them all as far as the commit.
        room.accept.stop()
        assert len({await one for one in waiting}) == 5
        with pytest.raises(BusyError):
            await room.send()
    assert (await counts(store))["message"] == 6


# Idempotency.


def suppressed(address_key: str, clock: FakeClock, **changes: Any) -> Suppression:
    return Suppression(
        project_id=PROJECT,
        address_key=address_key,
        origin=SuppressionOrigin.OPERATOR,
        created_at=clock.now(),
        **{"reason": "unsubscribe", "scope": SuppressionScope.ALL, "subject": ""} | changes,
    )


def repeated(first: Accepted) -> Accepted:
    return msgspec.structs.replace(first, is_repeat=True)


async def test_what_was_accepted_once_is_answered_though_it_would_be_refused_by_now(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    later = submission(send_at=clock.now() + timedelta(minutes=5))
    first = await room.accept(PROJECT, later, idempotency_key="once")
    clock.advance(3600)
    assert await room.accept(PROJECT, later, idempotency_key="once") == repeated(first)
    with pytest.raises(CallerError, match="Mail can be sent now"):
        await room.accept(PROJECT, later, idempotency_key="never used")
    with pytest.raises(ConflictError):
        await room.accept(PROJECT, msgspec.structs.replace(later, text="Else"), idempotency_key="once")
    assert (await counts(store))["message"] == 1


async def test_a_key_of_another_domain_is_refused_though_the_answer_is_there(room: EngineRoom) -> None:
    await room.accept(PROJECT, submission(), idempotency_key="once")
    with pytest.raises(ForbiddenError):
        await room.accept(PROJECT, submission(), idempotency_key="once", domains={"other.example"})


async def test_the_callers_own_hash_tells_requests_apart(room: EngineRoom, store: Store) -> None:
    first = await room.accept(PROJECT, submission(), idempotency_key="once", request_hash=b"1" * 32)
    again = await room.accept(PROJECT, submission(text="Else"), idempotency_key="once", request_hash=b"1" * 32)
    assert again == repeated(first)
    assert await room.accept.first_answer(PROJECT, "once", b"1" * 32) == repeated(first)
    assert await room.accept.first_answer(PROJECT, "other", b"1" * 32) is None
    assert await room.accept.first_answer(OTHER_PROJECT, "once", b"1" * 32) is None
    assert await room.accept.first_answer(PROJECT, "", b"1" * 32) is None
    with pytest.raises(ConflictError):
        await room.accept(PROJECT, submission(), idempotency_key="once", request_hash=b"2" * 32)
    with pytest.raises(ConflictError):
        await room.accept.first_answer(PROJECT, "once", b"2" * 32)
    assert (await counts(store))["message"] == 1


async def test_the_same_key_and_submission_get_the_first_answer(room: EngineRoom, store: Store) -> None:
    first = await room.accept(PROJECT, submission("ann@a.example", "bob"), idempotency_key="once")
    again = await room.accept(PROJECT, submission("ann@a.example", "bob"), idempotency_key="once")
    assert again == repeated(first)
    assert (await counts(store))["recipient"] == 1


async def test_what_goes_to_nobody_takes_no_key_and_what_went_before_is_still_answered(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    first = await room.accept(PROJECT, submission("ann@a.example"), idempotency_key="before")
    async with store.transaction() as tx:
        await suppressions.put(tx, [suppressed("ann@a.example", clock)])
    assert await room.accept(PROJECT, submission("ann@a.example"), idempotency_key="before") == repeated(first)
    refused, _ = await asyncio.gather(
        room.accept(PROJECT, submission("ann@a.example"), idempotency_key="after"),
        room.accept(PROJECT, submission("bob@b.example"), idempotency_key="other"),
    )
    assert refused == Accepted(None, 0, (Rejected("ann@a.example", "recipient suppressed"),))
    async with store.transaction() as tx:
        await suppressions.remove(tx, PROJECT, ["ann@a.example"], why="she asked", now=clock.now())
    again = await room.accept(PROJECT, submission("ann@a.example"), idempotency_key="after")
    assert (again.recipient_count, again.is_repeat) == (1, False)


async def test_fifty_at_once_under_one_key_are_one_mail(room: EngineRoom, store: Store) -> None:
    answers = await asyncio.gather(
        *(room.accept(PROJECT, submission(), idempotency_key="once") for _ in range(50)),
        *(room.accept(PROJECT, submission(), idempotency_key=f"other {n}") for n in range(5)),
    )
    assert len({answer.session_id for answer in answers[:50]}) == 1
    assert len({answer.session_id for answer in answers}) == 6
    assert await counts(store) == {
        "content": 1, "message": 6, "recipient": 6, "queue": 6, "event": 6, "idempotency": 6
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"subject": "Else"}, {"text": "Else"}, {"recipients": ("bob@b.example",)}, {"from_name": "Else"}],
)
async def test_the_same_key_with_another_submission_is_a_conflict(
    room: EngineRoom, store: Store, changes: dict[str, Any]
) -> None:
    first = await room.accept(PROJECT, submission(), idempotency_key="once")
    before = await counts(store)
    with pytest.raises(ConflictError) as caught:
        await room.accept(PROJECT, submission(**changes), idempotency_key="once")
    assert caught.value.field == "idempotency_key"
    assert await counts(store) == before
    assert await room.accept(PROJECT, submission(), idempotency_key="once") == repeated(first)


async def test_of_two_submissions_at_once_under_one_key_one_is_sent(room: EngineRoom, store: Store) -> None:
    await room.send()
    answers = await asyncio.gather(
        *(room.accept(PROJECT, submission(subject=f"n {n % 2}"), idempotency_key="once") for n in range(10)),
        return_exceptions=True,
    )
    assert [isinstance(answer, ConflictError) for answer in answers] == [False, True] * 5
    assert (await counts(store))["message"] == 2


async def test_another_projects_key_is_another_key(room: EngineRoom, store: Store) -> None:
    ours, theirs = await asyncio.gather(
        room.accept(PROJECT, submission(), idempotency_key="once"),
        room.accept(OTHER_PROJECT, submission(subject="Else"), idempotency_key="once"),
    )
    assert ours.session_id != theirs.session_id
    assert (await counts(store))["message"] == 2


async def test_the_longest_key_is_kept(room: EngineRoom) -> None:
    key = "\U0001f511" * limits.IDEMPOTENCY_KEY_CHARS_MAX
    first = await room.accept(PROJECT, submission(), idempotency_key=key)
    assert await room.accept(PROJECT, submission(), idempotency_key=key) == repeated(first)


async def test_half_a_character_in_a_recipient_beside_a_key_is_the_callers_fault(
    room: EngineRoom, store: Store
) -> None:
    wanted = submission("ann@a.example", "\ud800@a.example")
    with pytest.raises(CallerError) as caught:
        await room.accept(PROJECT, wanted, idempotency_key="once")
    assert caught.value.field == "recipients"
    assert set((await counts(store)).values()) == {0}
    assert await rows(store, "SELECT FROM lane") == [], "it was told before anything was written"
    assert (await room.accept(PROJECT, wanted)).recipient_count == 1, "without a key, one bad recipient"


# With the real sender book.


async def test_only_an_enabled_sender_on_a_verified_domain_of_the_project_may_send(
    store: Store, clock: FakeClock, tmp_path: Path
) -> None:
    config = load({"OUTRIDER_DATA_DIR": str(tmp_path), "OUTRIDER_ENGINE__ACCEPT_WAIT_S": "0"})
    context = make_context(config, "", Journal().logger)
    services = make_services(msgspec.structs.replace(context, clock=clock), store)
    mine = (await services.accounts.ensure_project("mine")).project_id
    theirs = (await services.accounts.ensure_project("theirs")).project_id
    for domain, is_verified in (("good.example", True), ("unproven.example", False)):
        await services.identity.add_domain(mine, domain, is_verified=is_verified)
        await services.senders.add(mine, f"shop@{domain}", "Shop")
    await services.senders.add(mine, "off@good.example", "Shop")
    await rows(store, "UPDATE sender SET is_enabled = false WHERE address = 'off@good.example'")
    async with running(services.accept):
        for project, sender in (
            (theirs, "shop@good.example"),
            (mine, "off@good.example"),
            (mine, "shop@unproven.example"),
            (mine, "else@good.example"),
            (mine, "shop@else.example"),
        ):
            with pytest.raises(NotFoundError) as caught:
                await services.accept(project, submission(sender=sender))
            assert caught.value.field == "sender"
        assert set((await counts(store)).values()) == {0}
        accepted = await services.accept(mine, submission(sender="SHOP@good.example"))
    assert accepted.session_id is not None
    async with store.transaction() as tx:
        log = await events.after(tx, events.Cursor(), count_max=10)
    assert [one.project_id for one in log] == [mine]


async def test_mail_for_later_waits_for_its_instant_and_lives_from_then(room: EngineRoom, clock: FakeClock) -> None:
    later = clock.now() + timedelta(days=3)
    session = await room.send("ann@a.example", send_at=later, expires_s=3600.0)
    async with room.store.transaction() as tx:
        (entry,) = await tx.fetch("SELECT due_at, expires_at FROM queue")
        (lane,) = await tx.fetch("SELECT next_due_at FROM lane")
        message = await messages.by_id(tx, PROJECT, session)
    assert (entry["due_at"], entry["expires_at"]) == (later, later + timedelta(hours=1))
    assert lane["next_due_at"] == later
    assert message is not None
    assert message.send_at == later


async def test_what_a_caller_says_of_a_message_is_stored_with_it(room: EngineRoom) -> None:
    session = await room.send(
        "ann@a.example", tags=("order", "März"), metadata={"order": "1042"}, track_opens=False, track_clicks=True
    )
    plain = await room.send("ann@a.example")
    async with room.store.transaction() as tx:
        said, silent = [await messages.by_id(tx, PROJECT, one) for one in (session, plain)]
    assert said is not None
    assert silent is not None
    assert (said.tags, said.metadata, said.track_opens, said.track_clicks) == (
        ("order", "März"),
        {"order": "1042"},
        False,
        True,
    )
    assert (silent.tags, silent.metadata, silent.track_opens, silent.track_clicks) == ((), {}, None, None)


async def test_a_repeat_with_the_same_files_gets_the_first_answer(room: EngineRoom) -> None:
    async def sent(content: bytes) -> UUID | None:
        file = Attachment(name="a.pdf", type="application/pdf", content=content)
        accepted = await room.accept(PROJECT, submission(attachments=(file,)), idempotency_key="k")
        return accepted.session_id

    assert await sent(b"one") == await sent(b"one")
    with pytest.raises(ConflictError):
        await sent(b"two")


async def test_a_campaign_has_its_own_lane_and_is_kept_with_its_list(room: EngineRoom, store: Store) -> None:
    given = [("", ""), ("spring", "weekly"), ("spring", "monthly"), ("autumn", "")]
    sessions = [await room.send("ann@a.example", campaign=campaign, list_name=name) for campaign, name in given]
    async with store.transaction() as tx:
        loaded = await messages.load(tx, sessions)
    assert [(loaded[one].message.campaign, loaded[one].message.list_name) for one in sessions] == given
    found = await rows(store, "SELECT campaign, count(*) FROM queue JOIN lane USING (lane_id) GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in found] == [("", 1), ("autumn", 1), ("spring", 2)]


@pytest.mark.parametrize("changes", [{"campaign": "spring"}, {"list_name": "weekly"}])
async def test_the_same_key_for_another_campaign_or_list_is_a_conflict(
    room: EngineRoom, changes: dict[str, str]
) -> None:
    await room.accept(PROJECT, submission(), idempotency_key="once")
    with pytest.raises(ConflictError):
        await room.accept(PROJECT, submission(**changes), idempotency_key="once")


async def test_a_campaign_whose_lanes_were_swept_gets_new_ones(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    await room.send("ann@a.example", "bob@b.example", campaign="spring")
    await room.send("ann@a.example", campaign="autumn")
    async with store.transaction() as tx:
        await tx.execute("DELETE FROM queue USING lane WHERE lane.lane_id = queue.lane_id AND campaign = 'spring'")
        await tx.execute("UPDATE lane SET next_due_at = 'infinity'")
        await lanes.sweep(tx, idle_before=clock.now(), count_max=100)
    left = await rows(store, "SELECT campaign FROM lane")
    assert [row["campaign"] for row in left] == ["autumn"]
    await asyncio.gather(
        *(room.send("ann@a.example", f"u{n}@b.example", campaign="spring") for n in range(5)),
        *(room.send("ann@a.example", campaign="autumn") for n in range(5)),
    )
    found = await rows(store, "SELECT campaign, route, count(*) FROM queue JOIN lane USING (lane_id) GROUP BY 1, 2")
    assert {tuple(row.values()) for row in found} == {
        ("autumn", "a.example", 6), ("spring", "a.example", 5), ("spring", "b.example", 5)
    }  # fmt: skip
    assert await rows(store, "SELECT FROM queue LEFT JOIN lane USING (lane_id) WHERE lane.lane_id IS NULL") == []


async def test_a_rewritten_from_says_so_in_the_event_and_answers_go_to_the_mailbox(
    room: EngineRoom, store: Store, clock: FakeClock
) -> None:
    accept = rewriting(room)
    async with running(accept):
        for from_name, wanted in (("Ann Lee", "Ann Lee via Shop"), ("", "ann via Shop")):
            accepted = await accept(PROJECT, submission(sender="ann@gmail.test", from_name=from_name))
            assert accepted.session_id is not None
            async with store.transaction() as tx:
                loaded = (await messages.load(tx, [accepted.session_id]))[accepted.session_id]
            assert (loaded.message.sender, loaded.message.from_name) == (SENDER, wanted)
            assert loaded.body.reply_to == ("ann@gmail.test",)
        own = submission(sender="ann@gmail.test", reply_to=("Help <help@shop.example>",))
        session = (await accept(PROJECT, own)).session_id
        async with store.transaction() as tx:
            assert session is not None
            assert (await messages.load(tx, [session]))[session].body.reply_to == own.reply_to
    assert accepted.session_id is not None
    (event,) = await room.events(accepted.session_id)
    assert event.facts == {
        "recipient_count": 1,
        "rejected_count": 0,
        "from": SENDER,
        "from_given": "ann@gmail.test",
        "from_reason": "because",
    }
    (lane,) = await rows(store, "SELECT DISTINCT sender_domain FROM lane")
    assert lane == {"sender_domain": DOMAIN}, "whose domain signs, its lane it is"


async def test_a_repeat_of_what_was_rewritten_gets_the_first_answer(room: EngineRoom, store: Store) -> None:
    accept = rewriting(room)
    async with running(accept):
        answers = [await accept(PROJECT, submission(sender="ann@gmail.test"), idempotency_key="once") for _ in range(2)]
    assert answers[0].session_id == answers[1].session_id
    assert (await counts(store))["message"] == 1


def rewriting(room: EngineRoom) -> Acceptor:
    """Return a station 1 whose sender book lets one mailbox send in another's From."""
    rewritten = Rewritten(address.parse("ann@gmail.test"), "Shop", "because")

    class Book:
        async def find(self, project_id: UUID, sender: Address, stream: Stream) -> AllowedSender:
            assert (project_id, sender, stream) == (PROJECT, rewritten.address, Stream.TRANSACTIONAL)
            return AllowedSender(address.parse(SENDER), "", rewritten)

    return Acceptor(
        room.store,
        Book(),
        room.domains,
        room.pools,
        room.settings,
        clock=room.clock,
        random_bits=random.SystemRandom().getrandbits,
        metrics=room.metrics,
    )
