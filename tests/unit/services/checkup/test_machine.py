"""This machine: ports that answer or do not, the data directory, the certificate, TLS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from outrider.config import Config
from outrider.faces.settings import SubmissionSettings
from outrider.net.selfsigned import SelfSigned
from outrider.net.settings import NetSettings
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.policy.checkup import Check, CheckState
from outrider.roles.smtp import inbound_tls, relay_tls
from outrider.services.checkup import run
from outrider.services.checkup.machine import Machine, MachineCheckup, Port, RelayCertificate
from outrider.services.settings import InboundSettings
from outrider.testing.clock import FakeClock
from outrider.testing.peer import Peer
from outrider.testing.program import free_ports

OK, WARN, FAIL, SKIP = CheckState.OK, CheckState.WARN, CheckState.FAIL, CheckState.SKIP


OWN = RelayCertificate(None, check=lambda: None, is_for_world=False)


def machine(folder: Path, *ports: Port, certificate: str = "", **changes: object) -> Machine:
    config = Config(data_dir=str(folder), inbound=InboundSettings(certificate=certificate))
    made = Machine(
        data_path=folder,
        ports=ports,
        certificate_path=folder / certificate if certificate else None,
        check_certificate=lambda: inbound_tls(config),
        wants_certificate=True,
        relay=OWN,
        mx_host="mx.us.example",
        net=NetSettings(),
        has_smarthost=False,
    )
    return msgspec.structs.replace(made, **changes)


async def looked(made: Machine) -> dict[str, Check]:
    return {one.name: one for one in await run.run(MachineCheckup(made, clock=FakeClock()).probes(), wait_s=10)}


@contextlib.asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def port(number: int, *, is_expected: bool, is_http: bool = False, host: str = "127.0.0.1") -> Port:
    return Port("ports.inbound", host, number, "OUTRIDER_INBOUND_PORT", is_expected, is_http)


async def test_a_port_answers_or_its_setting_is_named(tmp_path: Path) -> None:
    (closed,) = free_ports(1)
    check = (await looked(machine(tmp_path, port(closed, is_expected=True))))["ports.inbound"]
    assert (check.state, "OUTRIDER_INBOUND_PORT" in check.advice) == (FAIL, True)
    check = (await looked(machine(tmp_path, port(closed, is_expected=False))))["ports.inbound"]
    assert (check.state, "is free" in check.seen) == (SKIP, True)
    async with Peer() as peer:
        for host in ("127.0.0.1", "0.0.0.0"):
            check = (await looked(machine(tmp_path, port(peer.port, is_expected=True, host=host))))["ports.inbound"]
            assert check.state is OK
        check = (await looked(machine(tmp_path, port(peer.port, is_expected=False))))["ports.inbound"]
        assert (check.state, "somebody listens" in check.seen) == (WARN, True)


async def test_a_port_that_speaks_tls_is_asked_in_it(tmp_path: Path) -> None:
    async with Peer() as peer:
        made = msgspec.structs.replace(port(peer.port, is_expected=True), speaks_tls=True)
        check = (await looked(machine(tmp_path, made)))["ports.inbound"]
    assert (check.state, "(tls)" in check.seen) == (FAIL, True), "this one greets in the clear"


@pytest.mark.parametrize(("status", "state"), [(b"200 OK", OK), (b"503 Service Unavailable", FAIL)])
async def test_a_face_that_is_not_ready_is_told(tmp_path: Path, status: bytes, state: CheckState) -> None:
    async with saying(b"HTTP/1.1 " + status + b"\r\n\r\n") as number:
        check = (await looked(machine(tmp_path, port(number, is_expected=True, is_http=True))))["ports.inbound"]
    assert check.state is state


async def test_a_data_directory_that_others_may_enter_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    found = await looked(machine(tmp_path))
    assert (found["settings.data_dir"].state, "database.disk" in found) == (OK, True)
    tmp_path.chmod(0o750)
    check = (await looked(machine(tmp_path)))["settings.data_dir"]
    assert (check.state, check.advice) == (WARN, f"chmod 700 {tmp_path}")


async def test_a_data_directory_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    found = await looked(machine(tmp_path / "gone"))
    assert (found["settings.data_dir"].state, "database.disk" in found) == (FAIL, False)


async def test_no_certificate_matters_where_mail_comes_back(tmp_path: Path) -> None:
    assert (await looked(machine(tmp_path)))["tls.certificate"].state is WARN
    assert (await looked(machine(tmp_path, wants_certificate=False)))["tls.certificate"].state is SKIP


async def test_a_certificate_is_loaded_as_the_face_does(tmp_path: Path) -> None:
    assert (await looked(machine(tmp_path, certificate="gone.pem")))["tls.certificate"].state is FAIL
    (tmp_path / "mx.pem").write_text(SelfSigned("mx.us.example").pem)
    check = (await looked(machine(tmp_path, certificate="mx.pem")))["tls.certificate"]
    assert check.state is FAIL, "its key is missing"
    made = machine(tmp_path, certificate="mx.pem", check_certificate=lambda: None)
    found = await looked(made)
    assert (found["tls.certificate"].state, found["tls.names"].state) == (WARN, OK), "signed by itself"
    found = await looked(msgspec.structs.replace(made, mx_host="other.example"))
    assert found["tls.names"].state is WARN


async def test_the_relays_own_certificate_will_do_on_this_machine(tmp_path: Path) -> None:
    assert (await looked(machine(tmp_path)))["tls.submission"].state is OK
    open_one = msgspec.structs.replace(OWN, is_for_world=True)
    check = (await looked(machine(tmp_path, relay=open_one)))["tls.submission"]
    assert (check.state, "OUTRIDER_SUBMISSION__CERTIFICATE" in check.advice) == (WARN, True)


async def test_a_certificate_of_the_relay_is_loaded_as_the_relay_does(tmp_path: Path) -> None:
    path = tmp_path / "relay.pem"
    config = Config(data_dir=str(tmp_path), submission=SubmissionSettings(certificate="relay.pem"))
    log = make_logger(LogSettings(level="error"), "tests")
    made = machine(tmp_path, relay=RelayCertificate(path, lambda: relay_tls(config, "x", log), is_for_world=True))
    assert (await looked(made))["tls.submission"].state is FAIL, "it is not there"
    path.write_text(SelfSigned("relay.example").pem)
    assert (await looked(made))["tls.submission"].state is FAIL, "its key is missing"
    path.write_text(SelfSigned("relay.example").key_and_pem)
    check = (await looked(made))["tls.submission"]
    assert (check.state, "it names relay.example: " in check.seen) == (WARN, True), "signed by itself"


async def test_unchecked_certificates_matter_where_there_is_a_smart_host(tmp_path: Path) -> None:
    assert (await looked(machine(tmp_path)))["tls.outgoing"].state is OK
    loose = NetSettings(tls_verify=False)
    assert (await looked(machine(tmp_path, net=loose)))["tls.outgoing"].state is OK
    check = (await looked(machine(tmp_path, net=loose, has_smarthost=True)))["tls.outgoing"]
    assert (check.state, "OUTRIDER_NET__TLS_VERIFY" in check.advice) == (WARN, True)
