"""From `domain add` to the receiver's verdict: what we say to publish is published, and others judge what arrives.

The name server and the receiving server are real and on loopback; the receiver is aiosmtpd. DKIM, SPF and DMARC are
judged by dkimpy, pyspf and authheaders (tests/e2e/oracle.py) by what the name server says when the mail comes.
"""

import asyncio
import base64
import contextlib
import email.policy
import json
import re
from collections.abc import AsyncIterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session

from outrider.testing.dns import DnsServer, Node
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ORACLE = Path(__file__).with_name("oracle.py")
SYSTEM_PYTHON = "/usr/bin/python3"
WAIT_S = 30.0
EXIT_MISSING = 3
PACE_S = 0.25  # Between mails of the stream: each is judged, which takes longer than to send it.
MAILBOX = "ann.lee@gmail.example"
ROOT = "https://mail.platform.example"


class Came(msgspec.Struct, frozen=True):
    """A mail as the receiver got it."""

    ip: str
    helo: str
    mail_from: str
    recipient: str
    content: bytes

    @property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def from_domain(self) -> str:
        return str(self.message["From"].addresses[0].domain).lower()


class Receiver:
    """A mail server that keeps what it takes; aiosmtpd calls `handle_DATA`."""

    def __init__(self) -> None:
        self.taken: list[Came] = []
        self.more = asyncio.Event()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name.
        assert isinstance(envelope.content, bytes)
        assert session.peer is not None
        assert session.host_name is not None
        assert envelope.mail_from is not None
        for recipient in envelope.rcpt_tos:
            came = Came(session.peer[0], session.host_name, envelope.mail_from, recipient, envelope.content)
            self.taken.append(came)
        self.more.set()
        return "250 2.0.0 Taken"

    async def for_(self, recipient: str, count: int = 1) -> list[Came]:
        """Wait for so many mails to the recipient."""
        async with asyncio.timeout(WAIT_S):
            while len(found := [one for one in self.taken if one.recipient == recipient]) < count:
                self.more.clear()
                await self.more.wait()
        return found


class World:
    """A program in direct mode, the name server it asks, and the receiver of client.example and gmail.example."""

    def __init__(self, program: Program, dns: DnsServer, zone: dict[str, Node], receiver: Receiver) -> None:
        self.program, self.dns, self.zone, self.receiver = program, dns, zone, receiver
        self._count = 0

    async def publish(self, domain: str) -> list[Any]:
        """Publish what `domain dns` says, as it says it."""
        records = await self.program.command_json("domain", "dns", domain)
        for one in records:
            node = self.zone.get(one["host"], Node())
            match one["type"]:
                case "TXT":
                    node = msgspec.structs.replace(
                        node, txt=(*(t for t in node.txt if t != one["value"]), one["value"])
                    )
                case "MX":
                    preference, _, host = one["value"].partition(" ")
                    node = msgspec.structs.replace(node, mx=((int(preference), host),))
                case _:
                    assert one["type"] == "CNAME"
                    node = Node(cname=one["value"])
            self.zone[one["host"]] = node
        return list(records)

    async def trusted(self, domain: str, *options: str) -> str:
        """Add a domain, publish its records, have them verified, and add a sender."""
        added = await self.program.command_json("domain", "add", domain, *options)
        await self.publish(domain)
        verified = await self.program.command("domain", "verify", domain)
        assert verified.code == 0, verified.stdout
        await self.program.command_json("sender", "add", f"news@{domain}")
        return str(added["name"])

    async def mail(self, sender: str) -> Came:
        """Send a mail and wait for it at the receiver."""
        self._count += 1
        to = f"user{self._count}@client.example"
        self.program.sender = sender
        answer = await self.program.send([to], "Grüße", "Grüße aus dem Laden.\n.\nFrom the shop.\n")
        assert answer["RetCode"] == 0, answer
        (came,) = await self.receiver.for_(to)
        return came

    async def judged(self, *mails: Came) -> list[Any]:
        """Return what the oracle says of each mail."""
        request = {
            "dns": self.dns.address,
            "mails": [
                {
                    "ip": one.ip,
                    "helo": one.helo,
                    "mail_from": one.mail_from,
                    "from_domain": one.from_domain,
                    "content": base64.b64encode(one.content).decode(),
                }
                for one in mails
            ],
        }
        code, out, complaint = await run(json.dumps(request).encode())
        assert code == 0, complaint
        return list(json.loads(out))


async def run(request: bytes) -> tuple[int, bytes, str]:
    child = await asyncio.create_subprocess_exec(
        SYSTEM_PYTHON,
        str(ORACLE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin"},
    )
    async with asyncio.timeout(120):
        out, complaint = await child.communicate(request)
    assert child.returncode is not None
    return child.returncode, out, complaint.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(shared_folder: Path) -> AsyncIterator[World]:
    if not Path(SYSTEM_PYTHON).exists() or (await run(b'{"dns": "127.0.0.1:9", "mails": []}'))[0] == EXIT_MISSING:
        pytest.skip("no oracle: apt-get install python3-authheaders python3-spf")
    receiver = Receiver()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(receiver, hostname="mx.client.example", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    zone = {
        "client.example": Node(mx=((10, "mx.client.example"),)),
        "gmail.example": Node(mx=((10, "mx.client.example"),)),
        "_dmarc.gmail.example": Node(txt=("v=DMARC1; p=reject",)),
        "mx.client.example": Node(a=("127.0.0.1",)),
        "out.platform.example": Node(a=("127.0.0.1",)),
    }
    async with DnsServer(zone) as dns:
        env = {
            "OUTRIDER_DNS_SERVER": dns.address,
            "OUTRIDER_SMTP_PORT": str(server.sockets[0].getsockname()[1]),
            "OUTRIDER_ALLOW_PRIVATE_MX": "1",
            "OUTRIDER_NET__EHLO_NAME": "out.platform.example",
            "OUTRIDER_NET__SOURCE": "127.0.0.1",
            "OUTRIDER_IDENTITY__MAILBOX_PROOF": "1",
            "OUTRIDER_FACES__PUBLIC_URL": f"{ROOT}/",
        }
        async with Program(shared_folder / "trusted", delivery="direct", env=env) as program:
            await program.serve()
            await program.ready()
            program.key = await program.set_up("first.example", "noreply@first.example")
            yield World(program, dns, zone, receiver)
    server.close()


def assert_trusted(verdict: Any, domain: str, algorithms: Sequence[str] = ("rsa-sha256", "ed25519-sha256")) -> None:
    assert [(one["a"], one["d"], one["is_good"]) for one in verdict["dkim"]] == [(a, domain, True) for a in algorithms]
    words = {name: verdict[name] for name in ("spf", "dmarc", "dmarc_by_dkim", "dmarc_by_spf")}
    assert words == dict.fromkeys(words, "pass"), verdict["header"]
    for word in ("dkim=pass", "spf=pass", "dmarc=pass"):
        assert word in verdict["header"]


@pytest.mark.parametrize(
    ("domain", "algorithms"),
    [
        ("rsa.shop.example", ["rsa-sha256"]),
        ("ed.shop.example", ["ed25519-sha256"]),
        ("both.shop.example", ["rsa-sha256", "ed25519-sha256"]),
        ("bücher.example", ["rsa-sha256", "ed25519-sha256"]),
        ("rsa.grüße-laden.example", ["rsa-sha256"]),
        ("ed.grüße-laden.example", ["ed25519-sha256"]),
    ],
)
async def test_mail_of_a_domain_that_was_verified_is_trusted(world: World, domain: str, algorithms: list[str]) -> None:
    options = [part for algorithm in algorithms for part in ("--algorithm", algorithm)]
    name = await world.trusted(domain, *options)
    came = await world.mail(f"news@{domain}")
    assert came.helo == "out.platform.example"
    assert came.mail_from.endswith(f"@bounces.{name}")
    assert str(came.message["From"]) == f"Example Shop <news@{name}>"
    (verdict,) = await world.judged(came)
    assert_trusted(verdict, name, algorithms)


async def test_any_address_of_a_domain_is_trusted_where_that_is_allowed(world: World) -> None:
    await world.trusted("any.example")
    await world.program.command_json("sender", "allow", "any.example", "any")
    mails = [await world.mail(f"{local}@any.example") for local in ("order-17+x", '"a b"', "päpstin", "-x", "o'neil")]
    for mail, verdict in zip(mails, await world.judged(*mails), strict=True):
        assert_trusted(verdict, "any.example")
        assert mail.from_domain == "any.example"
    world.program.sender = "news@any-example.example"
    assert (await world.program.send(["x@client.example"]))["RetCode"] != 0, "a look-alike"
    listed = {one["address"]: one for one in await world.program.command_json("sender", "list")}
    assert (listed["news@any.example"]["aligned"], listed["news@any.example"]["may_send"]) == ("dkim, spf", True)


async def test_the_oracle_is_no_yes_man(world: World) -> None:
    await world.trusted("honest.example")
    good = await world.mail("news@honest.example")
    changed = msgspec.structs.replace(good, content=good.content.replace(b"From the shop", b"From the shoq"))
    assert changed != good
    elsewhere = msgspec.structs.replace(changed, ip="192.0.2.1")
    spoofed = msgspec.structs.replace(
        good, content=good.content.replace(b"<news@honest.example>", b"<news@first-bank.example>")
    )
    world.zone["_dmarc.first-bank.example"] = Node(txt=("v=DMARC1; p=reject",))
    ok, by_spf, none, other = await world.judged(good, changed, elsewhere, spoofed)
    assert_trusted(ok, "honest.example")
    assert [one["is_good"] for one in by_spf["dkim"]] == [False, False]
    assert (by_spf["dmarc_by_dkim"], by_spf["dmarc_by_spf"], by_spf["dmarc"]) == ("fail", "pass", "pass")
    assert (none["spf"], none["dmarc"]) == ("fail", "fail")
    assert other["dmarc"] == "fail"


async def test_a_proven_mailbox_is_refused_or_goes_out_as_ours(world: World) -> None:
    program = world.program
    await world.trusted("own.example")
    await program.command_json("sender", "default", "news@own.example")
    offered = await program.command_json("sender", "prove", MAILBOX)
    assert (offered["may_send"], offered["proven_at"]) == (False, None)
    (asked,) = await world.receiver.for_(MAILBOX)
    body = asked.message.get_content()
    (token,) = re.findall(rf"^{ROOT}/senders/prove\?token=(\S+)", body, re.MULTILINE)
    (verdict,) = await world.judged(asked)
    assert_trusted(verdict, "own.example")
    again = await program.command("sender", "prove", MAILBOX)
    assert (again.code, "moment ago" in again.stderr) == (65, True)

    send = ("send", "x@client.example", "--from", MAILBOX, "--subject", "x", "--text", "x")
    path = f"/senders/prove?token={token}"
    for _ in range(2):  # A scanner opens it.
        page = await program.request("GET", path)
        assert (page.status, MAILBOX.encode() in page.body) == (200, True)
    assert "not configured" in (await program.command(*send)).stderr
    assert (await program.request("POST", f"{path[:-1]}x")).status == 404
    assert (await program.request("POST", path)).status == 200
    assert (await program.request("POST", path)).status == 404, "used"

    refused = await program.command(*send)
    assert refused.code == 65
    assert "nothing of the project's is aligned with gmail.example, so DMARC would fail" in refused.stderr
    await program.command_json("sender", "alignment", "rewrite")
    came = await world.mail(MAILBOX)
    assert str(came.message["From"]) == "Example Shop via default <news@own.example>"
    assert came.message["Reply-To"] == MAILBOX
    (verdict,) = await world.judged(came)
    assert_trusted(verdict, "own.example")
    lines = map(json.loads, (await program.command("events", "--json")).stdout.splitlines())
    (facts,) = [one["facts"] for one in lines if "from_given" in one["facts"]]
    assert (facts["from"], facts["from_given"]) == ("news@own.example", MAILBOX)
    assert "DMARC" in facts["from_reason"]


@pytest.mark.timeout(300)
async def test_all_mail_is_trusted_while_keys_are_rotated_in_mid_stream(world: World) -> None:
    name = await world.trusted("turn.example")
    sender, to = "news@turn.example", "stream@client.example"
    world.program.sender = sender
    before = await selectors(world, name)
    verdicts: list[Any] = []
    stopped = asyncio.Event()

    async def stream() -> None:
        while not stopped.is_set():
            answer = await world.program.send([to])
            assert answer["RetCode"] == 0, answer
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE_S):
                    await stopped.wait()

    async def judge_more() -> None:
        """Judge what has come since, by what is in DNS now."""
        came = await world.receiver.for_(to, len(verdicts) + 10)
        verdicts.extend(await world.judged(*came[len(verdicts) :]))

    async def turn() -> None:
        try:
            await judge_more()
            await world.program.command_json("domain", "rotate", name)
            await judge_more()
            assert await selectors(world, name) == before, "nobody has published the new ones"
            await world.publish(name)
            await judge_more()
            verified = await world.program.command("domain", "verify", name)
            assert verified.code == 0, verified.stdout
            await judge_more()
            await judge_more()
        finally:
            stopped.set()

    await asyncio.gather(stream(), turn())
    for verdict in verdicts:
        assert_trusted(verdict, name)
    used = [tuple(one["s"] for one in verdict["dkim"]) for verdict in verdicts]
    after = await selectors(world, name)
    assert set(used[0]) == before
    assert set(used[-1]) == after
    assert before.isdisjoint(after)
    assert {frozenset(pair) for pair in used} == {frozenset(before), frozenset(after)}, "never one of each"
    assert len(verdicts) >= 50


async def selectors(world: World, name: str) -> set[str]:
    """Return the names of the keys that sign now."""
    found = await world.program.command_json("domain", "keys", name)
    return {one["selector"] for one in found if one["state"] == "signing"}
