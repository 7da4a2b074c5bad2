"""Delivery by MX, for real: DNS over loopback, STARTTLS, servers that behave and servers that do not.

All servers are one sink, which answers on one port of 127.0.0.1; at 127.0.0.2 nobody listens.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from outrider.testing.dns import DnsServer, Fault, Node
from outrider.testing.program import Program
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ZONE = {
    "plain.example": Node(mx=((10, "mx.plain.example"),)),
    "mx.plain.example": Node(a=("127.0.0.1",)),
    "second.example": Node(mx=((20, "up.second.example"), (10, "down.second.example"))),
    "down.second.example": Node(a=("127.0.0.2",)),
    "up.second.example": Node(a=("127.0.0.1",)),
    "implicit.example": Node(a=("127.0.0.1",)),
    "null.example": Node(mx=((0, "."),)),
    "nowhere.example": Node(mx=((10, "down.second.example"),)),
    "servfail.example": Node(fault=Fault.SERVFAIL),
    "*.many.example": Node(a=("127.0.0.1",)),  # Each a site of its own, so none finds another one's open connection.
    "xn--bcher-kva.example": Node(mx=((10, "mx.plain.example"),)),
}
WAITS = ("CONNECT", "GREETING", "COMMAND", "TLS", "DATA_START", "DATA_BLOCK", "DATA_END")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def direct(shared_folder: Path, sink: RunningSink) -> AsyncIterator[Program]:
    """Yield a program in direct mode whose patience is short."""
    async with DnsServer(ZONE) as dns:
        env = {
            "OUTRIDER_DNS_SERVER": dns.address,
            "OUTRIDER_SMTP_PORT": str(sink.port),
            "OUTRIDER_ALLOW_PRIVATE_MX": "1",
            "OUTRIDER_NET__EHLO_NAME": "out.shop.example",
            **{f"OUTRIDER_NET__{name}_WAIT_S": "0.5" for name in WAITS},
        }
        async with Program(shared_folder / "direct", delivery="direct", env=env) as program:
            await program.start()
            yield program


async def after_one_attempt(program: Program, recipient: str) -> Any:
    """Send to this recipient and return its row once something has become of it."""
    answer = await program.send([recipient])
    assert answer["RetCode"] == 0, answer

    async def look() -> Any:
        (row,) = (await program.session(answer["SessionNo"]))["Data"]
        return row if row["Attempts"] else None

    return await program.until(look)


async def test_mail_goes_to_the_mx_over_starttls(direct: Program, sink: RunningSink) -> None:
    row = await after_one_attempt(direct, "user@plain.example")
    assert (row["Status"], row["Attempts"]) == ("delivered", 1)
    event = row["Events"][-1]
    assert (event["Event"], event["Host"], event["Ip"]) == ("delivered", "mx.plain.example", "127.0.0.1")
    assert event["Tls"].startswith("TLSv1.")
    assert "user@plain.example" in await sink.recipients()


async def test_the_next_mx_is_tried_in_the_same_attempt(direct: Program) -> None:
    row = await after_one_attempt(direct, "user@second.example")
    assert (row["Status"], row["Attempts"]) == ("delivered", 1)
    assert row["Events"][-1]["Host"] == "up.second.example"


async def test_a_domain_without_mx_is_its_own_server(direct: Program) -> None:
    row = await after_one_attempt(direct, "user@implicit.example")
    assert row["Status"] == "delivered"
    assert row["Events"][-1]["Host"] == "implicit.example"


async def test_a_domain_that_takes_no_mail_bounces_at_once(direct: Program, sink: RunningSink) -> None:
    row = await after_one_attempt(direct, "user@null.example")
    assert (row["Status"], row["NextAttemptTime"]) == ("bounced", None)
    assert row["Reason"] == "recipient.domain_invalid"
    assert "user@null.example" not in await sink.recipients()


async def test_a_name_that_does_not_exist_is_asked_for_once_more(direct: Program) -> None:
    row = await after_one_attempt(direct, "user@no-such-name.example")
    assert (row["Status"], row["Reason"]) == ("queued", "recipient.domain_invalid")
    assert row["NextAttemptTime"] > row["UpdateTime"]


@pytest.mark.parametrize("domain", ["servfail.example", "nowhere.example"])
async def test_trouble_on_the_way_is_tried_again(direct: Program, domain: str) -> None:
    row = await after_one_attempt(direct, f"user@{domain}")
    assert row["Status"] == "queued"
    assert row["NextAttemptTime"] > row["UpdateTime"]
    assert row["Events"][-1]["Event"] == "deferred"


async def test_a_name_in_another_alphabet_is_looked_up_as_its_a_label(direct: Program, sink: RunningSink) -> None:
    row = await after_one_attempt(direct, "user@bücher.example")
    assert row["Status"] == "delivered"
    assert "user@xn--bcher-kva.example" in await sink.recipients()


@pytest.mark.parametrize(
    ("rule", "status", "reply"),
    [
        ("rcpt * reply 550 5.1.1 No such user here", "bounced", "550 5.1.1 No such user here"),
        ("rcpt * reply 452 4.2.2 Mailbox full", "queued", "452 4.2.2 Mailbox full"),
        ("mail * reply 451 4.7.1 Later, please", "queued", "451 4.7.1 Later, please"),
        ("data * reply 451 4.3.0 Not now", "queued", "451 4.3.0 Not now"),
        ("dot * reply 554 5.6.0 We do not like it", "bounced", "554 5.6.0 We do not like it"),
        ("connect * reply 554 5.7.1 Go away", "queued", "554 5.7.1 Go away"),
    ],
)
async def test_what_the_server_said_is_kept(
    direct: Program, sink: RunningSink, rule: str, status: str, reply: str
) -> None:
    domain = f"{rule.split(maxsplit=1)[0]}-{reply[:3]}.many.example"
    await sink.behave(rule)
    try:
        row = await after_one_attempt(direct, f"user@{domain}")
    finally:
        await sink.behave()
    assert (row["Status"], row["Reply"]) == (status, reply)
    assert (row["NextAttemptTime"] is None) == (status == "bounced")
    healthy = await after_one_attempt(direct, f"next@{domain}")
    assert healthy["Status"] == "delivered"


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"])
@pytest.mark.parametrize("action", ["hang", "drop", "garbage"])
async def test_a_broken_server_is_tried_again_and_its_lane_stays_healthy(
    direct: Program, sink: RunningSink, stage: str, action: str
) -> None:
    domain = f"{stage}-{action}.many.example"
    await sink.behave(f"{stage} * {action}")
    try:
        row = await after_one_attempt(direct, f"user@{domain}")
    finally:
        await sink.behave()
    assert row["Status"] == "queued", row
    assert row["NextAttemptTime"] > row["UpdateTime"]
    event = row["Events"][-1]
    assert event["Event"] == "deferred"
    # A small body leaves in one piece with its dot: whoever breaks then may have it.
    assert bool(event.get("Ambiguous")) == (stage in ("body", "dot")), event
    healthy = await after_one_attempt(direct, f"next@{domain}")
    assert healthy["Status"] == "delivered"


async def test_a_message_swallowed_without_a_word_is_recorded_as_ambiguous(direct: Program, sink: RunningSink) -> None:
    await sink.behave("dot * swallow")
    try:
        row = await after_one_attempt(direct, "user@swallow.many.example")
    finally:
        await sink.behave()
    assert row["Status"] == "queued"
    assert row["Events"][-1]["Ambiguous"] is True
    assert "user@swallow.many.example" in await sink.recipients()


async def test_connections_are_reused(direct: Program, sink: RunningSink) -> None:
    before = await sink.counts()
    recipients = [f"user{number}@reuse.many.example" for number in range(100)]
    answer = await direct.send(recipients)
    status = await direct.settled(answer["SessionNo"])
    assert {row["Status"] for row in status["Data"]} == {"delivered"}
    after = await sink.counts()
    assert after.messages - before.messages == 100
    assert after.connections - before.connections <= 40
