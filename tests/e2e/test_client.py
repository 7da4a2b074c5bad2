"""The client against the real program: both of them, over real sockets."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from outrider.client import (
    AsyncOutrider,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    Mail,
    NoAnswerError,
    NotFoundError,
    Outrider,
    Patience,
    UnauthenticatedError,
    attach,
)
from outrider.client.records import Accepted
from outrider.testing.program import SENDER, Program, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def key_of(program: Program) -> str:
    assert program.key is not None
    return program.key.pair.replace(":", ".")


def mail(subject: str = "Hello", **more: object) -> Mail:
    given = {"sender": SENDER, "to": "ann@partner.example", "subject": subject, "text": "Hi.", **more}
    return Mail(**given)  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outrider(caught: Program) -> AsyncIterator[AsyncOutrider]:
    async with AsyncOutrider(caught.url, key_of(caught)) as client:
        yield client


async def test_all_that_a_mail_may_say_comes_back(caught: Program, outrider: AsyncOutrider, tmp_path: Path) -> None:
    (tmp_path / "Grüße.pdf").write_bytes(b"%PDF\0")
    sent = mail(
        to=["Ann <ann@partner.example>", "bob@partner.example"],
        cc="cc@partner.example",
        bcc=["bcc@partner.example"],
        reply_to="billing@shop.example",
        html="<img src='cid:logo'>",
        headers={"X-Shop": "7"},
        tags=["one", "two"],
        metadata={"order": "7"},
        list_name="news",
        stream="marketing",
        campaign="autumn",
        attachments=[attach(tmp_path / "Grüße.pdf", content_id="logo")],
        send_at=datetime.now(UTC) + timedelta(days=1),
        expires_s=3600.0,
    )
    accepted = await outrider.send(sent)
    assert (accepted.accepted_count, list(accepted.rejected)) == (4, [])
    content = await outrider.show_content(accepted.id)
    assert (content.text, content.html, content.cc, content.reply_to) == (
        "Hi.",
        "<img src='cid:logo'>",
        ["cc@partner.example"],
        ["billing@shop.example"],
    )
    assert [(one.name, one.size_bytes, one.content_id) for one in content.attachments] == [("Grüße.pdf", 5, "logo")]
    assert (content.headers, content.tags, content.metadata) == ({"X-Shop": "7"}, ["one", "two"], {"order": "7"})
    message = await outrider.show(accepted.id)
    assert (message.sender, message.stream, message.campaign, message.list_name) == (
        SENDER,
        "marketing",
        "autumn",
        "news",
    )
    assert message.send_at == sent.send_at
    assert {one.status for one in message.recipients} == {"queued"}
    assert (await outrider.cancel(accepted.id)).cancelled_count == 4
    assert (await outrider.cancel(accepted.id)).cancelled_count == 0


async def test_the_blocking_client_says_the_same(caught: Program) -> None:
    def talk() -> tuple[str, str, list[str], list[str]]:
        with Outrider(caught.url, key_of(caught)) as client:
            sent = client.send(mail("blocking"))
            again = client.resend(sent.id)
            kinds = [event.kind for event in client.message_events(sent.id)]
            subjects = [one.subject for one in itertools.islice(client.messages(subject="blocking"), 2)]
            return sent.id, again.id, kinds, subjects

    first, second, kinds, subjects = await asyncio.to_thread(talk)
    assert first != second
    assert kinds[0] == "accepted"
    assert subjects == ["blocking", "blocking"]


async def test_the_same_key_is_the_same_mail(outrider: AsyncOutrider) -> None:
    key = str(uuid.uuid4())
    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(outrider.send(mail("once"), idempotency_key=key)) for _ in range(20)]
    assert len({one.result().id for one in sending}) == 1
    with pytest.raises(ConflictError) as caught:
        await outrider.send(mail("another"), idempotency_key=key)
    assert caught.value.code == "conflict"
    assert caught.value.field == "Idempotency-Key"


async def test_what_is_wrong_says_where(outrider: AsyncOutrider) -> None:
    with pytest.raises(BadRequestError) as caught:
        await outrider.send(mail(to=["ann@partner.example", "no address"], cc="also none"))
    assert (caught.value.code, caught.value.status) == ("bad_request", 400)
    with pytest.raises(BadRequestError) as caught:
        await outrider.send(mail(subject="a\r\nBcc: x@y.example"))
    assert (caught.value.field, caught.value.status) == ("subject", 400)
    assert str(uuid.UUID(caught.value.request_id)) == caught.value.request_id
    with pytest.raises(NotFoundError):
        await outrider.show(uuid.uuid4())


async def test_a_batch_is_told_part_by_part(outrider: AsyncOutrider) -> None:
    done = await outrider.send_batch([mail("first"), mail("second", to="no address"), mail("third")])
    assert (done.accepted_count, done.failed_count) == (2, 1)
    assert [bool(part.id) for part in done.results] == [True, False, True]
    assert done.results[1].error is not None
    assert done.results[1].error.field == "to[0]"


async def test_pages_are_gone_through_without_a_gap(outrider: AsyncOutrider) -> None:
    tag = f"pages-{uuid.uuid4().hex[:8]}"
    done = await outrider.send_batch([mail(f"page {number}", tags=[tag]) for number in range(25)])
    found = [one.id async for one in outrider.messages(tag=tag, page_count=4)]
    assert sorted(found) == sorted(part.id or "" for part in done.results)


async def test_keys_that_may_not_are_told_apart(caught: Program) -> None:
    row = await caught.command_json("key", "create", "--scope", "read")
    for key, kind in (
        (f"{row['access_key_id']}.{row['access_key_secret']}", ForbiddenError),
        ("AK-NOBODY.wrong", UnauthenticatedError),
    ):
        async with AsyncOutrider(caught.url, key) as client:
            with pytest.raises(kind):
                await client.send(mail())


async def test_a_program_that_restarts_is_waited_for(folder: Path) -> None:
    """A stream and calls are under way while Outrider is killed and comes back: each mail once, no event left out."""
    patience = Patience(retries_max=30, pause_max_s=1.0)
    async with Program(folder / "node") as program:
        await program.start()
        async with AsyncOutrider(program.url, key_of(program), patience=patience) as client:
            last = (await client.read_events(limit=1)).next
            accepted: list[Accepted] = []
            told: set[str] = set()
            is_under_way = asyncio.Event()

            async def send_all() -> None:
                for number in range(60):
                    accepted.append(await client.send(mail(f"{number}", tags=["restart"])))
                    if number == 5:
                        is_under_way.set()

            async def follow() -> None:
                async for event in client.follow_events(after=last, kinds=["accepted"]):
                    told.add(event.message_id or "")
                    if len(told) == 60:
                        return

            async with asyncio.timeout(90), asyncio.TaskGroup() as group:
                group.create_task(send_all())
                group.create_task(follow())
                await is_under_way.wait()
                await program.kill_all()
                await program.serve()
                await program.ready()
            found = [one.subject async for one in client.messages(tag="restart")]
        assert sorted(map(int, found)) == list(range(60))
        assert {one.id for one in accepted} == told


async def test_events_are_read_and_followed(caught: Program, outrider: AsyncOutrider) -> None:
    last = (await outrider.read_events(limit=1)).next
    async for event in outrider.events(after=last):
        last = event.id
    accepted = await outrider.send(mail("followed"))
    async with asyncio.timeout(20):
        async for event in outrider.follow_events(after=last):
            if event.message_id == accepted.id and event.kind == "delivered":
                break
    assert event.recipient == "ann@partner.example"
    assert (event.subject, event.sender) == ("followed", SENDER)
    kinds = [one.kind async for one in outrider.events(after=last, kinds=["delivered"], page_count=1)]
    assert set(kinds) == {"delivered"}


async def test_nobody_is_there() -> None:
    (port,) = free_ports(1)
    async with AsyncOutrider(f"http://127.0.0.1:{port}", "id.secret", patience=Patience(retries_max=0)) as client:
        with pytest.raises(NoAnswerError) as caught:
            await client.send(mail())
    assert not caught.value.is_sent
