"""`outrider doctor` by command: in catch mode, in direct mode with a name server, and in trouble."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from outrider.policy import blocklists
from outrider.testing.commands import Finished
from outrider.testing.dns import DnsServer, Fault, Node
from outrider.testing.program import Key, Program
from outrider.testing.sink_client import RunningSink

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NAME, IP = "mail.shop.example", "127.0.0.9"
PTR = "9.0.0.127.in-addr.arpa"
REPORTS = "*._report._dmarc.us.example"
ZONE: dict[str, Node] = {
    "out.us.example": Node(a=(IP,)),
    PTR: Node(ptr=("out.us.example",)),
    REPORTS: Node(txt=("v=DMARC1",)),
    "shop.example": Node(mx=((10, "mx.shop.example"),)),
    "mx.shop.example": Node(a=("127.0.0.1",)),
    "partner.example": Node(a=("127.0.0.1",)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dns() -> AsyncIterator[DnsServer]:
    """Yield the name server of the world."""
    async with DnsServer(ZONE) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def direct(shared_folder: Path, sink: RunningSink, dns: DnsServer) -> AsyncIterator[Program]:
    """Yield a program in direct mode with a domain whose records are published."""
    env = {
        "OUTRIDER_DNS_SERVER": dns.address,
        "OUTRIDER_SMTP_PORT": str(sink.port),
        "OUTRIDER_ALLOW_PRIVATE_MX": "1",
        "OUTRIDER_NET__EHLO_NAME": "out.us.example",
        "OUTRIDER_NET__SOURCE": IP,
        "OUTRIDER_IDENTITY__DMARC_REPORTS": "dmarc@us.example",
        "OUTRIDER_FACES__PUBLIC_URL": "https://mail.us.example",
    }
    async with Program(shared_folder / "doctor", delivery="direct", env=env) as program:
        await program.serve()
        await program.ready()
        program.key = msgspec.convert(await program.command_json("init"), Key)
        await program.command_json("domain", "add", NAME)
        for record in await program.command_json("domain", "dns", NAME):
            old = ZONE.get(record["host"], Node())
            if record["type"] == "TXT":
                ZONE[record["host"]] = msgspec.structs.replace(old, txt=(record["value"],))
            else:
                preference, host = record["value"].split()
                ZONE[record["host"]] = msgspec.structs.replace(old, mx=((int(preference), host),))
        assert (await program.command("domain", "verify", NAME)).code == 0
        yield program


def read(finished: Finished) -> Any:
    """Return what `doctor --json` printed: checks by name and subject."""
    found = msgspec.json.decode(finished.stdout)
    return {(one["name"], one["subject"]): one for one in found["checks"]}


def bad(finished: Finished) -> dict[str, str]:
    """Return the checks that warn or fail, by name."""
    return {name: one["state"] for (name, _), one in read(finished).items() if one["state"] in ("warn", "fail")}


async def test_catch_mode_asks_nobody_out_there_and_is_well(caught: Program) -> None:
    finished = await caught.command("doctor", "--json")
    found = read(finished)
    assert (finished.code, bad(finished)) == (0, {}), finished.stdout
    ports = ("ports.http", "ports.inbound", "ports.catch", "ports.submission", "ports.submissions")
    for name in (*ports, "database.partitions", "queue.due", "clock.database"):
        assert found[name, ""]["state"] == "ok", name
    assert "catch mode" in found["egress.address", ""]["seen"]
    assert "catch mode" in found["domain.standing", ""]["seen"]
    assert not [name for name, _ in found if name.startswith("blocklist.")]
    table = await caught.command("doctor")
    assert table.code == 0
    for words in ("net.dns_server", "OUTRIDER_DATA_DIR", "\nQueue\n", "✔ ok    server", " 0 failures, "):
        assert words in table.stdout, words


async def test_direct_mode_in_order_passes_all_and_calls_a_mail_host_of_ones_own(
    direct: Program, sink: RunningSink
) -> None:
    finished = await direct.command("doctor", "--mx", "127.0.0.1", "--json")
    found = read(finished)
    assert (finished.code, bad(finished)) == (0, {"tls.certificate": "warn"}), finished.stdout
    for name in ("egress.ptr", "egress.ehlo", "egress.spf", "egress.port"):
        assert found[name, IP]["state"] == "ok", name
    assert found["domain.standing", NAME]["state"] == "ok"
    assert found["domain.reports", REPORTS]["state"] == "ok"
    assert found["domain.spf", NAME]["state"] == "ok"
    assert found["blocklist.listed", f"{IP} zen.spamhaus.org"]["state"] == "ok"
    assert found["queue.nodes", ""]["state"] == "ok"
    unnamed = read(await direct.command("doctor", "--json"))["egress.port", IP]
    assert (unnamed["state"], "another machine" in unnamed["seen"]) == ("skip", True), "127.0.0.1 is this machine"


async def test_what_is_wrong_is_found_with_the_line_to_change_and_ends_with_69(
    direct: Program, dns: DnsServer, tmp_path: Path
) -> None:
    kept = dict(ZONE)
    try:
        del ZONE[PTR], ZONE[REPORTS]
        ZONE[f"_dmarc.{NAME}"] = Node(txt=("v=DMARC1; p=none; rua=mailto:boss.person@shop.example",))
        ZONE[NAME] = Node(txt=("v=spf1 ip4:192.0.2.1 -all",))
        ZONE[blocklists.question(IP, "zen.spamhaus.org")] = Node(a=("127.0.0.2",))
        ZONE[blocklists.question(IP, "bl.spamcop.net")] = Node(a=("127.255.255.254",))
        key = next(name for name, node in ZONE.items() if "k=rsa" in "".join(node.txt))
        ZONE[key] = Node(txt=(ZONE[key].txt[0][:300],))
        path = tmp_path / "report.md"
        finished = await direct.command("doctor", NAME, "--report", str(path), "--json")
    finally:
        ZONE.clear()
        ZONE.update(kept)
    found = read(finished)
    assert finished.code == 69
    assert found["egress.ptr", IP]["state"] == "fail"
    assert "reverse DNS to out.us.example" in found["egress.ptr", IP]["advice"]
    assert found["blocklist.listed", f"{IP} zen.spamhaus.org"]["state"] == "fail"
    assert found["blocklist.listed", f"{IP} bl.spamcop.net"]["state"] == "skip"
    assert found["domain.dkim", f"{NAME}: {key}"]["state"] == "fail"
    assert found["domain.spf", NAME]["state"] == "warn", "optional: its return path has the one that counts"
    assert found["domain.reports", REPORTS]["state"] == "warn"
    page = path.read_text("utf-8")
    assert "Publish at" in page
    for secret in ("boss.person", kept[key].txt[0][30:80], "dmarc@us.example"):
        assert secret not in page, secret
    shown = await direct.command_json("domain", "show", NAME)
    assert shown["domain"]["state"] == "passed", "the doctor changes nothing"


async def test_a_name_server_that_hangs_costs_seconds(direct: Program) -> None:
    kept = dict(ZONE)
    try:
        ZONE.clear()
        ZONE.update({"*.example": Node(fault=Fault.SILENT), "*.arpa": Node(fault=Fault.SILENT)})
        finished = await direct.command("doctor", "--wait", "3", "--json", timeout_s=30)
    finally:
        ZONE.clear()
        ZONE.update(kept)
    states = {name: state for name, state in bad(finished).items() if name != "tls.certificate"}
    assert finished.code in (0, 69)
    assert "egress.ptr" in states or "egress.dns" in states
    assert "domain.dkim" not in states, "silence fails no record"


async def test_a_dead_face_and_mail_that_nobody_delivers_are_told(folder: Path) -> None:
    async with Program(folder / "dead") as program:
        fresh = await program.command("doctor", "--json")
        assert (fresh.code, bad(fresh)) == (0, {"database.migrations": "warn"}), "before the first start"
        await program.command_json("init")
        stopped = await program.command("doctor", "--json")
        assert (stopped.code, bad(stopped)) == (0, {"queue.nodes": "warn"}), stopped.stdout
        with socket.create_server(("127.0.0.1", program.ports["HTTP"])):
            taken = await program.command("doctor", "--json")
        assert bad(taken)["ports.http"] == "warn"


async def test_a_database_that_is_away_is_one_of_the_checks(folder: Path) -> None:
    env = {"OUTRIDER_DATABASE_URL": "postgresql://outrider:hunter2@127.0.0.1:1/outrider"}
    async with Program(folder / "away", env=env) as program:
        finished = await program.command("doctor", "--json")
        assert (finished.code, bad(finished)) == (69, {"database.reachable": "fail"}), finished.stdout
        assert "hunter2" not in finished.stdout + finished.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:  # It takes connections and says nothing.
        url = f"postgresql://outrider:hunter2@127.0.0.1:{silent.getsockname()[1]}/outrider"
        async with Program(folder / "silent", env={"OUTRIDER_DATABASE_URL": url}) as program:
            finished = await program.command("doctor", "--wait", "2", "--json", timeout_s=30)
            assert (finished.code, bad(finished)) == (69, {"database.reachable": "fail"}), finished.stdout
    async with Program(folder / "keyless", env={"OUTRIDER_MASTER_KEY": "env:NOBODY_HAS_THIS"}) as program:
        finished = await program.command("doctor", "--json")
        assert (finished.code, bad(finished)) == (69, {"settings.usable": "fail"}), finished.stdout
        assert "NOBODY_HAS_THIS" in read(finished)["settings.usable", ""]["seen"]
    blocked = folder / "blocked"
    blocked.write_text("a file where the data directory should be")
    async with Program(blocked) as program:
        finished = await program.command("doctor", "--json")
        assert (finished.code, set(bad(finished))) == (69, {"settings.usable", "settings.data_dir"}), finished.stdout


async def test_what_is_asked_wrongly_is_refused_before_anything_is_looked_at(caught: Program, folder: Path) -> None:
    for arguments, code, words in (
        (("unknown.example",), 65, "no domain 'unknown.example'"),
        (("--project", "nobody"), 65, "no project 'nobody'"),
        (("--address", "mail.example"), 65, "no IP address"),
        (("--wait", "0"), 2, "--wait"),
        (("--report", str(folder / "gone" / "r.md")), 78, "cannot be written"),
    ):
        finished = await caught.command("doctor", *arguments)
        assert (finished.code, words in finished.stderr) == (code, True), (arguments, finished)
    async with Program(folder / "wrong", env={"OUTRIDER_ENGINE__LEASE": "3"}) as program:
        finished = await program.command("doctor")
    assert (finished.code, "Did you mean" in finished.stderr) == (78, True)


async def test_a_named_domain_is_asked_about_in_catch_mode_too(folder: Path, dns: DnsServer) -> None:
    async with Program(folder / "named", env={"OUTRIDER_DNS_SERVER": dns.address}) as program:
        await program.command_json("init")
        await program.command_json("domain", "add", "news.shop.example")
        before = len(dns.queries)
        assert (await program.command("doctor")).code == 0
        assert len(dns.queries) == before, "nobody is asked"
        found = read(
            await program.command("doctor", "news.shop.example", "--address", IP, "--no-block-lists", "--json")
        )
        assert found["domain.standing", "news.shop.example"]["state"] == "warn"
        assert {one["state"] for (name, _), one in found.items() if name == "domain.dkim"} == {"warn", "skip"}
        assert not [name for name, _ in found if name.startswith("blocklist.")]
