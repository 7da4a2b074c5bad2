"""The load generator, against a small API of our own: what it asks, and that it counts honestly."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from outrider.testing.load import LoadReport, LoadSettings, make_content, recipient, render, run

Answering = Callable[[dict[str, object]], bytes]
GOOD = b'{"RetCode":0,"Message":"success","SessionNo":"s","FailedTargetEmails":[]}'


@asynccontextmanager
async def api(answering: Answering) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                answer = answering(json.loads(await reader.readexactly(length)))
                if not answer:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def load(answering: Answering, **changes: object) -> LoadReport:
    async with api(answering) as url:
        settings = {"url": url, "key": "id:secret", "sender": "a@shop.example", "count": 40, "per_call": 10}
        return await run(LoadSettings(**{**settings, "connections": 2, **changes}))  # type: ignore[arg-type]


async def test_every_recipient_is_distinct_and_over_ten_domains() -> None:
    asked: list[dict[str, object]] = []

    def answering(call: dict[str, object]) -> bytes:
        asked.append(call)
        return GOOD

    report = await load(answering)
    recipients = [address for call in asked for address in call["TargetEmailAddress"]]  # type: ignore[attr-defined]
    assert min(recipients) == "u00000000@route0.example"
    assert len(set(recipients)) == 40 == report.accepted
    assert len({address.partition("@")[2] for address in recipients}) == 10
    assert len({call["Content"] for call in asked}) == 4 == report.calls
    assert not report.error
    assert report.rate > 0 < report.p50_ms <= report.p99_ms


async def test_recipients_can_be_spread_over_more_domains_without_changing_a_length() -> None:
    assert {recipient(number, 1_000) for number in (0, 1_042)} == {
        "u00000000@route000.example",
        "u00001042@route042.example",
    }
    asked: list[list[str]] = []

    def answering(call: dict[str, object]) -> bytes:
        asked.append(call["TargetEmailAddress"])  # type: ignore[arg-type]
        return GOOD

    assert (await load(answering, routes=25, first=80)).accepted == 40
    assert len({address.partition("@")[2] for call in asked for address in call}) == 25


async def test_refusals_and_failed_targets_are_counted_and_not_accepted(tmp_path: Path) -> None:
    answers = iter([GOOD, b'{"RetCode":215392,"Message":"Invalid parameter [Subject]"}', b"oops"])
    failed = b'{"RetCode":0,"SessionNo":"s","FailedTargetEmails":[{"EmailAddress":"x","FailureReason":"y"}]}'
    report = await load(lambda _: next(answers, failed), accepted=tmp_path / "accepted.tsv", connections=1)
    assert (report.accepted, report.failed_targets) == (19, 1)
    assert report.ret_codes == {"215392": 1, "unreadable": 1}
    assert [line.split("\t") for line in (tmp_path / "accepted.tsv").read_text().splitlines()] == [
        ["0", "10", "s"],
        ["30", "10", "s"],
    ]


async def test_a_broken_connection_is_a_lost_call_and_the_run_goes_on() -> None:
    answers = iter([GOOD, b"", GOOD])
    report = await load(lambda _: next(answers, GOOD), connections=1)
    assert (report.lost_calls, report.accepted) == (1, 30)
    assert not report.error


async def test_a_server_that_never_comes_ends_the_patience() -> None:
    report = await load(lambda _: GOOD, url="http://127.0.0.1:1", patience_s=0.01)
    assert report.error
    assert report.accepted == 0


@pytest.mark.parametrize(("body", "low", "high"), [("3k", 2500, 3500), ("100k", 95_000, 110_000), ("tiny", 10, 100)])
@pytest.mark.parametrize("has_same_content", [True, False])
def test_requests_are_as_long_as_they_say(body: str, low: int, high: int, has_same_content: bool) -> None:
    settings = LoadSettings(
        url="http://127.0.0.1:1",
        key="a:b",
        sender="a@shop.example",
        count=1,
        per_call=1,
        body=body,
        has_same_content=has_same_content,
    )
    head, middle, tail = render(settings)
    lines, _, start = head.partition(b"\r\n\r\n")
    call = start + b"u00000007@route7.example" + middle + b"00000007" + tail
    assert int(lines.rpartition(b"Content-Length: ")[2]) == len(call)
    assert json.loads(call)["TargetEmailAddress"] == ["u00000007@route7.example"]
    assert low < len(make_content(body)) < high
