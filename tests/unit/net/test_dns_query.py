"""One question to real name servers on loopback."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
import uvloop

from outrider.base.errors import ConfigError
from outrider.mail import look
from outrider.net.dns_query import Found, Mx, NameServers, Outcome, parse_server
from outrider.testing.clock import FakeClock
from outrider.testing.dns import NEGATIVE_TTL_S, DnsServer, Fault, Node, ZoneAsker

WAIT_S: Final = 0.5


def asker(server: str, wait_s: float = WAIT_S, **given: str) -> NameServers:
    return NameServers(server, clock=FakeClock(), wait_s=wait_s, **given)


async def test_what_is_found_comes_with_its_ttl() -> None:
    zone = {"a.example": Node(mx=((10, "MX.a.example"), (0, ".")), a=("127.0.0.1",), aaaa=("::1",), ttl_s=77)}
    async with DnsServer(zone) as server:
        asks = asker(server.address)
        found = await asks.mx("a.example")
        assert (found.outcome, set(found.values), found.ttl_s) == (
            Outcome.FOUND,
            {Mx(10, "mx.a.example"), Mx(0, "")},
            77,
        )
        assert await asks.a("a.example") == Found(Outcome.FOUND, ("127.0.0.1",), 77)
        assert await asks.aaaa("a.example") == Found(Outcome.FOUND, ("::1",), 77)


async def test_a_no_comes_with_the_ttl_of_its_zone() -> None:
    async with DnsServer({"a.example": Node(a=("127.0.0.1",))}) as server:
        assert await asker(server.address).mx("a.example") == Found(Outcome.EMPTY, (), NEGATIVE_TTL_S)
        assert await asker(server.address).mx("b.example") == Found(Outcome.NO_NAME, (), NEGATIVE_TTL_S)


async def test_a_chain_counts_for_its_shortest_ttl() -> None:
    zone = {"a.example": Node(cname="b.example", ttl_s=30), "b.example": Node(a=("127.0.0.1",), ttl_s=600)}
    async with DnsServer(zone) as server:
        assert await asker(server.address).a("a.example") == Found(Outcome.FOUND, ("127.0.0.1",), 30)


@pytest.mark.parametrize(
    "node", [Node(a=("127.0.0.1",), fault=Fault.TRUNCATED), Node(a=tuple(f"127.0.1.{n}" for n in range(200)))]
)
async def test_an_answer_that_is_cut_off_is_asked_for_by_tcp(node: Node) -> None:
    async with DnsServer({"a.example": node}) as server:
        found = await asker(server.address).a("a.example")
        assert sorted(found.values) == sorted(node.a)
        assert server.tcp_count == 1


async def test_a_slow_answer_within_the_deadline_counts() -> None:
    async with DnsServer({"a.example": Node(a=("127.0.0.1",), fault=Fault.SLOW, delay_s=0.05)}) as server:
        assert (await asker(server.address).a("a.example")).outcome is Outcome.FOUND


async def test_a_name_that_cannot_be_written_fails() -> None:
    assert await asker("127.0.0.1:1").a("x" * 64) == Found(Outcome.FAILED)


async def test_the_system_names_the_servers(tmp_path: Path) -> None:
    """The file's servers listen on port 53, which tests cannot; that they are asked is enough."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("search lan.example\nnameserver 127.0.0.1\n")
    asks = asker("", wait_s=0.05, resolv_conf=str(conf))
    assert (await asks.a("a.example")).outcome is Outcome.FAILED


@pytest.mark.parametrize("text", [None, "", "# empty\n", "nameserver\n", "nameserver nonsense\n", "\x00\xff"])
async def test_a_system_that_names_nobody_is_a_failure_not_a_crash(tmp_path: Path, text: str | None) -> None:
    conf = tmp_path / "resolv.conf"
    if text is not None:
        conf.write_text(text)
    assert await asker("", wait_s=0.05, resolv_conf=str(conf)).a("a.example") == Found(Outcome.FAILED)


async def test_many_questions_at_once_are_all_answered() -> None:
    zone = {"*.sink.example": Node(a=("127.0.0.1",))}
    async with DnsServer(zone) as server:
        asks = asker(server.address, wait_s=10.0)
        async with asyncio.TaskGroup() as group:
            questions = [group.create_task(asks.a(f"d{n}.sink.example")) for n in range(300)]
    assert {question.result() for question in questions} == {Found(Outcome.FOUND, ("127.0.0.1",), 300.0)}


def test_it_works_on_uvloop() -> None:
    """The product's loop has its own sockets."""

    async def ask() -> list[Found[str]]:
        zone = {"a.example": Node(a=("127.0.0.1",)), "b.example": Node(a=("127.0.0.2",), fault=Fault.TRUNCATED)}
        async with DnsServer(zone) as server:
            return [await asker(server.address).a(name) for name in ("a.example", "b.example", "c.example")]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(ask())
    assert [f.values for f in found] == [("127.0.0.1",), ("127.0.0.2",), ()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:DB8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_server_is_an_address_with_or_without_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_server(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ns.example",
        "ns.example:53",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:x",
        "[::1]53",
        "[::1",
        ":53",
        "192.0.2.1:-1",
    ],
)
def test_anything_else_is_a_setting_to_mend(text: str) -> None:
    with pytest.raises(ConfigError, match="dns_server"):
        parse_server(text)


LOOKS: Final = {
    "a.example": Node(
        a=("192.0.2.1",), aaaa=("2001:db8::1",), mx=((10, "MX.a.example"), (0, ".")), txt=("k" * 300, 'q"uote \\ x')
    ),
    "one.example": Node(cname="two.example"),
    "two.example": Node(cname="a.example"),
    "dangling.example": Node(cname="gone.example"),
    "loop.example": Node(cname="pool.example"),
    "pool.example": Node(cname="loop.example"),
    "self.example": Node(cname="self.example"),
    "1.2.0.192.in-addr.arpa": Node(ptr=("a.example",)),
    "silent.example": Node(fault=Fault.SILENT),
    "broken.example": Node(fault=Fault.SERVFAIL),
    "refused.example": Node(fault=Fault.REFUSED),
    "garbage.example": Node(fault=Fault.GARBAGE),
} | {f"c{n}.example": Node(cname=f"c{n + 1}.example") for n in range(20)}


@pytest.mark.parametrize("is_real", [True, False], ids=["real", "fake"])
@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("a.example", "A", ("found", {"192.0.2.1"}, ())),
        ("a.example", "AAAA", ("found", {"2001:db8::1"}, ())),
        ("a.example", "MX", ("found", {"10 mx.a.example", "0 "}, ())),
        ("a.example", "TXT", ("found", {"k" * 300, 'q"uote \\ x'}, ())),
        ("a.example", "CNAME", ("empty", set(), ())),
        ("one.example", "A", ("found", {"192.0.2.1"}, ("two.example", "a.example"))),
        ("one.example", "CNAME", ("found", {"two.example"}, ())),
        ("one.example", "PTR", ("empty", set(), ("two.example", "a.example"))),
        ("dangling.example", "TXT", ("no_name", set(), ("gone.example",))),
        ("none.example", "TXT", ("no_name", set(), ())),
        ("loop.example", "CNAME", ("found", {"pool.example"}, ())),
        ("1.2.0.192.in-addr.arpa", "PTR", ("found", {"a.example"}, ())),
        ("silent.example", "TXT", ("timed_out", set(), ())),
        ("broken.example", "TXT", ("failed", set(), ())),
        ("refused.example", "TXT", ("failed", set(), ())),
    ],
)
async def test_a_look_tells_all(
    is_real: bool, name: str, type_: str, expected: tuple[str, set[str], tuple[str, ...]]
) -> None:
    async with DnsServer(LOOKS) as server:
        asks = asker(server.address) if is_real else ZoneAsker(LOOKS)
        found = await asks.look(name, type_)
    assert (found.outcome.value, set(found.values), found.chain) == expected
    assert (found.name, found.type) == (name, type_)
    assert sorted(found.string_counts) == ([1, 2] if (name, type_) == ("a.example", "TXT") else [])


@pytest.mark.parametrize("name", ["loop.example", "self.example", "c0.example"])
async def test_a_circle_of_aliases_is_a_loop(name: str) -> None:
    async with DnsServer(LOOKS) as server:
        assert (await asker(server.address).look(name, "TXT")).outcome is look.Outcome.LOOP
    assert (await ZoneAsker(LOOKS).look(name, "TXT")).outcome is look.Outcome.LOOP


@pytest.mark.parametrize(
    "name", ["a..example", f"{'a' * 64}.example", ".".join(["abcdefg"] * 40), "a\\.example\\", "ü.example"]
)
async def test_what_can_be_no_name_has_nothing(name: str) -> None:
    async with DnsServer(LOOKS) as server:
        assert (await asker(server.address).look(name, "TXT")).outcome is look.Outcome.NO_NAME


async def test_garbage_is_no_answer() -> None:
    async with DnsServer(LOOKS) as server:
        assert (await asker(server.address).look("garbage.example", "TXT")).outcome.is_temporary
