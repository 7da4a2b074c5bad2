"""Tracking hosts by https, each with its certificate, on a running program: links lead on, the API is not there."""

import asyncio
import ssl
from urllib.parse import urlsplit

import pytest

from outrider.testing.api import Api
from outrider.testing.program import HOST, Program
from tests.e2e.conftest import TRACKED_HOSTS
from tests.e2e.test_tracking_mail import caught_mail

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

TARGET = "https://shop.example/by-tls"
HTML = f'<html><body><a href="{TARGET}">one</a></body></html>'


async def asked(program: Program, host: str, method: str, target: str, body: str = "") -> tuple[int, str, bytes]:
    """Ask a host, trusting its certificate alone; return status, Location and body."""
    context = ssl.create_default_context(cafile=str(program.data_dir / "hosts" / f"{host}.crt"))
    reader, writer = await asyncio.open_connection(HOST, program.ports["TRACKING"], ssl=context, server_hostname=host)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/x-www-form-urlencoded", "", body]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(20):
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return int(head.split()[1]), fields.get("location", ""), rest


async def test_each_host_leads_on_with_its_own_certificate_and_has_nothing_else(writer: Api) -> None:
    program, sender = writer.program, (await writer.get("/senders"))["senders"][0]["address"]
    to = f"tls@{sender.partition('@')[2]}"
    mail = {"from": sender, "to": to, "subject": "Offer", "html": HTML, "stream": "marketing", "track_clicks": True}
    await writer.post("/emails", mail)
    markup = (await caught_mail(program, to)).get_content()
    link, leave = (urlsplit(part.partition('"')[0]) for part in markup.split('href="')[1:3])
    page = f"{leave.path}?{leave.query}"
    for host in TRACKED_HOSTS:
        assert (await asked(program, host, "GET", link.path))[:2] == (302, TARGET)
        assert (await asked(program, host, "GET", page))[0] == 200
        for path in ("/v1/emails", "/v1/openapi.json", "/metrics", "/mailbox", "/readyz", "/docs", "/"):
            assert (await asked(program, host, "GET", path))[0] == 404, path
    status, _, said = await asked(program, TRACKED_HOSTS[0], "POST", page, "List-Unsubscribe=One-Click")
    assert (status, b"<html" in said) == (200, True)

    async def left() -> object:
        return (await writer.get("/events?kind=unsubscribed"))["events"]

    (event,) = await program.until(left)
    assert event["recipient"] == to
    context = ssl.create_default_context(cafile=str(program.data_dir / "hosts" / f"{TRACKED_HOSTS[0]}.crt"))
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(HOST, program.ports["TRACKING"], ssl=context, server_hostname="t.three.example")
