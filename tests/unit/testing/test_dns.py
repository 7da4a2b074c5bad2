"""The name server for tests, asked by a client that is not ours. Its fake shares tests/unit/net/test_dns.py."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Final

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import msgspec
import pytest

from outrider.testing.dns import DnsServer, FakeDns, Fault, Node, find, parse_zone

WAIT_S: Final = 5.0
ZONE: Final = {
    "a.example": Node(
        mx=((10, "mx.a.example"),), a=("127.0.0.1",), aaaa=("::1",), txt=("v=spf1 -all", 'k="v"'), ttl_s=9
    ),
    "alias.example": Node(cname="a.example"),
    "*.sink.example": Node(a=("127.0.0.2",)),
    "own.sink.example": Node(a=("127.0.0.3",)),
}


async def ask(server: DnsServer, name: str, kind: str, wait_s: float = WAIT_S) -> dns.message.Message:
    query = dns.message.make_query(f"{name}.", kind, use_edns=True, payload=4096)
    return await dns.asyncquery.udp(query, "127.0.0.1", wait_s, server.port)


def answer_of(message: dns.message.Message) -> list[str]:
    return [f"{dns.rdatatype.to_text(s.rdtype)} {r.to_text()}" for s in message.answer for r in s]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.example", "MX", ["MX 10 mx.a.example."]),
        ("A.Example", "A", ["A 127.0.0.1"]),
        ("a.example", "AAAA", ["AAAA ::1"]),
        ("a.example", "TXT", ['TXT "v=spf1 -all"', 'TXT "k=\\"v\\""']),
        ("alias.example", "A", ["CNAME a.example.", "A 127.0.0.1"]),
        ("any.sink.example", "A", ["A 127.0.0.2"]),
        ("deep.any.sink.example", "A", ["A 127.0.0.2"]),
        ("own.sink.example", "A", ["A 127.0.0.3"]),
        ("own.sink.example", "MX", []),
    ],
)
async def test_it_serves_the_zone(name: str, kind: str, expected: list[str]) -> None:
    async with DnsServer(ZONE) as server:
        message = await ask(server, name, kind)
    assert sorted(answer_of(message)) == sorted(expected)
    assert message.rcode() == dns.rcode.NOERROR


async def test_a_long_text_is_cut_into_strings_and_means_the_same() -> None:
    key = "v=DKIM1; p=" + "A" * 600
    async with DnsServer({"a.example": Node(txt=(key,))}) as server:
        (records,) = (await ask(server, "a.example", "TXT")).answer
    assert b"".join(records[0].strings).decode() == key
    assert max(map(len, records[0].strings)) == 255


async def test_a_name_that_is_not_there_is_nxdomain_with_soa_and_one_above_another_is_empty() -> None:
    async with DnsServer(ZONE) as server:
        gone, above = await ask(server, "b.example", "A"), await ask(server, "sink.example", "A")
    assert (gone.rcode(), above.rcode()) == (dns.rcode.NXDOMAIN, dns.rcode.NOERROR)
    assert {s.rdtype for m in (gone, above) for s in m.authority} == {dns.rdatatype.SOA}


@pytest.mark.parametrize(
    ("fault", "rcode"),
    [(Fault.SERVFAIL, dns.rcode.SERVFAIL), (Fault.REFUSED, dns.rcode.REFUSED), (Fault.NXDOMAIN, dns.rcode.NXDOMAIN)],
)
async def test_faults_that_speak(fault: Fault, rcode: dns.rcode.Rcode) -> None:
    async with DnsServer({"a.example": Node(a=("127.0.0.1",), fault=fault)}) as server:
        assert (await ask(server, "a.example", "A")).rcode() == rcode


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.GARBAGE])
async def test_faults_that_say_nothing_of_use(fault: Fault) -> None:
    async with DnsServer({"a.example": Node(a=("127.0.0.1",), fault=fault)}) as server:
        with pytest.raises(dns.exception.DNSException):
            await ask(server, "a.example", "A", wait_s=0.05)
        assert server.queries["a.example", "A"] == 1


async def test_a_fault_of_some_kinds_leaves_the_others_alone() -> None:
    node = Node(mx=((1, "b.example"),), a=("127.0.0.1",), fault=Fault.SERVFAIL, fault_kinds=("MX",))
    async with DnsServer({"a.example": node}) as server:
        assert (await ask(server, "a.example", "MX")).rcode() == dns.rcode.SERVFAIL
        assert answer_of(await ask(server, "a.example", "A")) == ["A 127.0.0.1"]


async def test_truncated_is_whole_by_tcp() -> None:
    async with DnsServer({"a.example": Node(a=("127.0.0.1",), fault=Fault.TRUNCATED)}) as server:
        query = dns.message.make_query("a.example.", "A")
        message, is_tcp = await dns.asyncquery.udp_with_fallback(query, "127.0.0.1", WAIT_S, server.port)
        assert (answer_of(message), is_tcp, server.tcp_count) == (["A 127.0.0.1"], True, 1)


async def test_slow_is_late_and_closing_does_not_wait_for_it() -> None:
    zone = {"a.example": Node(a=("127.0.0.1",), fault=Fault.SLOW, delay_s=0.05)}
    zone["b.example"] = Node(a=("127.0.0.1",), fault=Fault.SLOW, delay_s=60.0)
    async with asyncio.timeout(WAIT_S), DnsServer(zone) as server:
        started_s = asyncio.get_running_loop().time()
        await ask(server, "a.example", "A")
        assert asyncio.get_running_loop().time() - started_s >= 0.04
        with pytest.raises(dns.exception.Timeout):
            await ask(server, "b.example", "A", wait_s=0.05)


async def test_the_zone_may_change_at_any_time() -> None:
    zone: dict[str, Node] = {}
    async with DnsServer(zone) as server:
        assert (await ask(server, "a.example", "A")).rcode() == dns.rcode.NXDOMAIN
        zone["a.example"] = Node(a=("127.0.0.1",))
        assert answer_of(await ask(server, "a.example", "A")) == ["A 127.0.0.1"]
        assert server.queries["a.example", "A"] == 2


async def test_it_can_be_closed_twice_and_its_port_taken_again() -> None:
    server = DnsServer({})
    await server.start()
    await server.close()
    await server.close()
    again = DnsServer(ZONE)
    await again.start(server.port)
    assert answer_of(await ask(again, "a.example", "A")) == ["A 127.0.0.1"]
    with pytest.raises(OSError, match="in use"):
        await DnsServer({}).start(again.port)
    await again.close()


def test_a_zone_is_read_from_json() -> None:
    text = '{"Shop.Example.": {"mx": [[10, "mx.shop.example"]], "ttl_s": 60, "fault": "silent", "fault_kinds": ["A"]}}'
    node = Node(mx=((10, "mx.shop.example"),), ttl_s=60, fault=Fault.SILENT, fault_kinds=("A",))
    assert parse_zone(text) == {"shop.example": node}


@pytest.mark.parametrize("text", ['{"a": {"mxs": []}}', '{"a": {"fault": "sleepy"}}', '{"a": {"mx": ["mx"]}}', "[]"])
def test_a_zone_with_a_typing_error_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        parse_zone(text)


def test_the_nearest_wildcard_answers() -> None:
    zone = {"*.example": Node(ttl_s=1), "*.a.example": Node(ttl_s=2), "b.a.example": Node(ttl_s=3)}
    names = {"x.example": 1, "x.a.example": 2, "y.x.a.example": 2, "b.a.example": 3}
    assert {name: getattr(find(zone, name), "ttl_s", None) for name in names} == names
    assert find(zone, "example") is None


async def test_the_fake_counts_what_it_was_asked() -> None:
    fake = FakeDns({"shop.example": Node(a=("127.0.0.1",))})
    await fake.route("shop.example")
    assert fake.queries == {("shop.example", "MX"): 1, ("shop.example", "A"): 1, ("shop.example", "AAAA"): 1}


@pytest.mark.slow
async def test_as_a_program_it_prints_its_address_and_ends_on_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "zone.json"
    file.write_text(json.dumps({"a.example": {"a": ["127.0.0.1"]}}))
    async with asyncio.timeout(4 * WAIT_S):
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "outrider.testing.dns", "--zone", str(file), stdout=asyncio.subprocess.PIPE
        )
        assert program.stdout is not None
        address, _, port = (await program.stdout.readline()).decode().strip().partition(":")
        query = dns.message.make_query("a.example.", "A")
        message = await dns.asyncquery.udp(query, address, WAIT_S, int(port))
        program.send_signal(signal.SIGTERM)
        assert await program.wait() == 0
    assert answer_of(message) == ["A 127.0.0.1"]
