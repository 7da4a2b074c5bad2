"""The catch mailbox on a real directory."""

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outrider.base import limits
from outrider.base.errors import NotFoundError
from outrider.services.catch import Mailbox
from outrider.testing.clock import FakeClock

MESSAGE = b"From: Shop <a@shop.example>\r\nSubject: Hello\r\n\r\nBody\r\n"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC))


@pytest.fixture
def mailbox(tmp_path: Path, clock: FakeClock) -> Iterator[Mailbox]:
    box = Mailbox(tmp_path / "mail" / "box", clock=clock, chance=random.Random(1))
    yield box
    box.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mail" / "box"


async def test_what_is_delivered_can_be_read_with_its_envelope_on_top(mailbox: Mailbox) -> None:
    name = await mailbox.deliver(MESSAGE, "bounce@shop.example", ["a@x.example", "b@x.example"])
    assert await mailbox.read(name) == (
        b"Return-Path: <bounce@shop.example>\r\nDelivered-To: a@x.example\r\nDelivered-To: b@x.example\r\n" + MESSAGE
    )


async def test_it_is_a_maildir(mailbox: Mailbox, folder: Path) -> None:
    name = await mailbox.deliver(MESSAGE, "", [])
    assert sorted(path.name for path in folder.iterdir()) == ["cur", "new", "tmp"]
    assert [path.name for path in (folder / "new").iterdir()] == [name]
    assert list((folder / "tmp").iterdir()) == []
    assert (folder / "new" / name).read_bytes().startswith(b"Return-Path: <>\r\nFrom:")


@pytest.mark.parametrize("content", [b"", b"\x00\xff\r\n.\r\n", b"no header", bytes(range(256)) * 5000])
async def test_octets_are_kept(mailbox: Mailbox, content: bytes) -> None:
    name = await mailbox.deliver(content, "", [])
    assert await mailbox.read(name) == b"Return-Path: <>\r\n" + content


async def test_an_envelope_cannot_write_the_header(mailbox: Mailbox) -> None:
    name = await mailbox.deliver(MESSAGE, "a\r\nX-Evil: 1", ["b\nX-Evil: 2", "ü@bücher.example", "\udcff@x.example"])
    content = await mailbox.read(name)
    assert content.startswith(b"Return-Path: <aX-Evil: 1>\r\nDelivered-To: bX-Evil: 2\r\n")
    assert "Delivered-To: ü@bücher.example\r\n".encode() in content
    assert b"Delivered-To: \xff@x.example\r\n" in content


async def test_a_mail_program_may_move_messages_to_cur(mailbox: Mailbox, folder: Path) -> None:
    name = await mailbox.deliver(MESSAGE, "", [])
    (folder / "new" / name).rename(folder / "cur" / f"{name}:2,S")
    assert (await mailbox.read(name)).endswith(MESSAGE)
    assert [message.name for message in (await mailbox.list(10)).messages] == [name]


async def test_a_list_is_newest_first_and_goes_on(mailbox: Mailbox, clock: FakeClock) -> None:
    names: list[str] = []
    for number in range(5):
        clock.advance(number)
        names.append(await mailbox.deliver(MESSAGE, "", []))
    names.reverse()
    first = await mailbox.list(2)
    assert [m.name for m in first.messages] == names[:2]
    assert (first.total_count, first.has_more) == (5, True)
    second = await mailbox.list(3, before=first.messages[-1].name)
    assert [m.name for m in second.messages] == names[2:]
    assert (second.total_count, second.has_more) == (5, False)
    assert (await mailbox.list(3, before=names[-1])).messages == ()


async def test_messages_of_one_instant_keep_their_order(mailbox: Mailbox) -> None:
    names = [await mailbox.deliver(MESSAGE, "", []) for _ in range(12)]
    assert [m.name for m in (await mailbox.list(50)).messages] == names[::-1]


async def test_a_list_says_who_what_and_when(mailbox: Mailbox, clock: FakeClock) -> None:
    content = (
        b"From: =?utf-8?q?B=C3=BCro?= <a@shop.example>\r\nSubject: =?utf-8?b?w5xiZXI=?=\r\n"
        b" =?utf-8?b?YWxs?=\r\nX: y\r\n\r\nSubject: not this\r\n"
    )
    name = await mailbox.deliver(content, "bounce@shop.example", ["u@x.example"])
    (message,) = (await mailbox.list(10)).messages
    assert message.name == name
    assert message.caught_at == clock.now().replace(microsecond=0)
    assert message.size_bytes == len(await mailbox.read(name))
    assert message.envelope_sender == "bounce@shop.example"
    assert message.envelope_recipients == ("u@x.example",)
    assert message.author == "Büro <a@shop.example>"
    assert message.subject == "Überall"


async def test_an_empty_or_absent_mailbox_lists_nothing(mailbox: Mailbox, folder: Path) -> None:
    page = await mailbox.list(10)
    assert (page.messages, page.total_count, page.has_more) == ((), 0, False)
    assert not folder.exists()
    assert await mailbox.clear() == 0


@pytest.mark.parametrize("limit_count", [-5, 0, 10**9])
async def test_the_length_of_a_list_is_bounded(mailbox: Mailbox, limit_count: int) -> None:
    for _ in range(3):
        await mailbox.deliver(MESSAGE, "", [])
    page = await mailbox.list(limit_count)
    assert 1 <= len(page.messages) <= limits.CAUGHT_LIST_COUNT_MAX


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret",
        "new/../../secret",
        "/etc/passwd",
        "a\x00b",
        "a/b",
        "..%2fsecret",
        "a:2,S",
        ".hidden",
        "x" * 300,
        "\udcff",
        "unknown",
    ],
)
async def test_a_name_is_no_path(mailbox: Mailbox, folder: Path, name: str) -> None:
    await mailbox.deliver(MESSAGE, "", [])
    (folder.parent / "secret").write_bytes(b"secret")
    (folder / "new" / ".hidden").write_bytes(b"secret")
    with pytest.raises(NotFoundError):
        await mailbox.read(name)


async def test_clear_deletes_what_is_there(mailbox: Mailbox, folder: Path) -> None:
    names = [await mailbox.deliver(MESSAGE, "", []) for _ in range(3)]
    (folder / "new" / names[0]).rename(folder / "cur" / f"{names[0]}:2,")
    assert await mailbox.clear() == 3
    assert (await mailbox.list(10)).total_count == 0
    await mailbox.deliver(MESSAGE, "", [])
    assert (await mailbox.list(10)).total_count == 1


async def test_concurrent_deliveries_all_arrive(mailbox: Mailbox) -> None:
    contents = [b"Subject: %d\r\n\r\n" % number for number in range(200)]
    names = await asyncio.gather(*(mailbox.deliver(content, "", []) for content in contents))
    assert len(set(names)) == 200
    for name, content in zip(names, contents, strict=True):
        assert (await mailbox.read(name)).endswith(content)


async def test_a_message_that_cannot_be_stored_fails_alone_and_leaves_nothing(
    mailbox: Mailbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_rename = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if b"Subject: 3\r\n" in path.read_bytes():
            raise OSError(28, "No space left on device")
        return real_rename(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    sent = [mailbox.deliver(b"Subject: %d\r\n\r\n" % number, "", []) for number in range(6)]
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert [isinstance(result, OSError) for result in results] == [False, False, False, True, False, False]
    assert list((folder / "tmp").iterdir()) == []
    assert (await mailbox.list(10)).total_count == 5


async def test_without_a_directory_to_write_to_the_caller_is_told(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_bytes(b"")
    box = Mailbox(tmp_path / "file" / "box", clock=clock, chance=random.Random(1))
    with pytest.raises(OSError, match="Not a directory"):
        await box.deliver(MESSAGE, "", [])
    box.close()
    box.close()


async def test_a_cancelled_caller_does_not_spoil_the_others(mailbox: Mailbox) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(mailbox.deliver(MESSAGE, "", [])) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    assert all(not task.cancelled() for task in tasks[1::2])
    assert (await mailbox.list(50)).total_count >= 10


async def test_close_finishes_what_was_begun(mailbox: Mailbox) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mailbox.deliver(MESSAGE, "", []))
        await asyncio.sleep(0)
        mailbox.close()
    assert (await mailbox.read(task.result())).endswith(MESSAGE)
