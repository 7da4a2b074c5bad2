"""The SMTP relay and the programs that people have: each sends text, HTML with a file, and what is not ASCII.

What comes out of the mailbox has the octets of the body that the client sent, and signatures that dkimpy verifies by
the records that we tell people to publish. Clients that this machine lacks are skipped loudly.
"""

import asyncio
import email.policy
import hashlib
import json
import os
import re
import smtplib
import ssl
import sys
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import msgspec
import pytest

from bench import postfix
from outrider.testing.postgres import make_folder
from outrider.testing.program import HOST, SENDER, Program
from tests.e2e.test_first_mail import caught_by, signatures

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

WAIT_S = 20.0
FILE = hashlib.sha256(b"file").digest() * 3000


class Letter(msgspec.Struct, frozen=True):
    """What a client is to send, with CRLF."""

    to: str
    content: bytes
    needs_utf8: bool

    @property
    def body_hash(self) -> str:
        return hashlib.sha256(self.content.partition(b"\r\n\r\n")[2]).hexdigest()


Send = Callable[[Program, Letter, Path], Awaitable[None]]


def letter(kind: str, who: str, *, local: str = "") -> Letter:
    """Write the letter; `local`: what stands before the @ of the international one."""
    message = EmailMessage(policy=email.policy.SMTPUTF8 if kind == "unicode" else email.policy.SMTP)
    to = f"{kind}-{who}@partner.example"
    if kind == "unicode":
        to = f"{local or kind}-{who}@xn--bcher-kva.example"
    message["From"] = f"Example Shop <{SENDER}>"
    message["To"] = f"Jörg <{to}>" if kind == "unicode" else to
    message["Subject"] = "Grüße, 你好" if kind == "unicode" else f"Hello from {who}"
    message["X-Outrider-Tag"] = f"client-{who}"
    message.set_content(
        "Hello,\n.a line with a dot\n..and two\n\nover\n" + ("Zażółć gęślą jaźń\n" if kind == "unicode" else "")
    )
    if kind == "files":
        message.add_alternative("<p>Hello</p>\n.\n", subtype="html")
        message.add_attachment(FILE, maintype="application", subtype="pdf", filename="Rechnung.pdf")
    return Letter(to, message.as_bytes(), not to.isascii())


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def by_smtplib(program: Program, one: Letter, folder: Path) -> None:
    del folder

    def send() -> None:
        assert program.key is not None
        with smtplib.SMTP(HOST, program.ports["SUBMISSION"], timeout=WAIT_S) as client:
            client.starttls(context=unverified())
            client.login(program.key.access_key_id, program.key.access_key_secret)
            options = ["SMTPUTF8", "BODY=8BITMIME"] if one.needs_utf8 else ["BODY=8BITMIME"]
            client.sendmail("bounces@elsewhere.example", [one.to], one.content, mail_options=options)

    await asyncio.to_thread(send)


async def by_aiosmtplib(program: Program, one: Letter, folder: Path) -> None:
    del folder
    assert program.key is not None
    client = aiosmtplib.SMTP(
        hostname=HOST,
        port=program.ports["SUBMISSIONS"],
        use_tls=True,
        tls_context=unverified(),
        username=program.key.access_key_id,
        password=program.key.access_key_secret,
    )
    async with client:
        options = ["SMTPUTF8"] if one.needs_utf8 else []
        await client.sendmail(SENDER, [one.to], one.content, mail_options=options)


async def by_swaks(program: Program, one: Letter, folder: Path) -> None:
    assert program.key is not None
    (folder / "mail").write_bytes(one.content.replace(b"\r\n", b"\n").removesuffix(b"\n"))  # It adds one.
    await run(
        *("swaks", "--server", f"{HOST}:{program.ports['SUBMISSION']}", "--tls", "--auth", "LOGIN"),
        *("--auth-user", program.key.access_key_id, "--auth-password", program.key.access_key_secret),
        *("--from", SENDER, "--to", one.to, "--data", f"@{folder / 'mail'}"),
    )


async def by_curl(program: Program, one: Letter, folder: Path) -> None:
    assert program.key is not None
    (folder / "mail").write_bytes(one.content)
    await run(
        *("curl", "--silent", "--show-error", "--insecure", "--ssl-reqd", "--user", program.key.pair),
        *("--url", f"smtp://{HOST}:{program.ports['SUBMISSION']}"),
        *("--mail-from", SENDER, "--mail-rcpt", one.to, "--upload-file", str(folder / "mail")),
    )


async def by_postfix(program: Program, one: Letter, folder: Path) -> None:
    del folder
    if lacking := postfix.missing():
        pytest.skip(f"no Postfix as a client: {lacking}")
    assert program.key is not None
    place = make_folder()

    def hand_in(port: int) -> None:
        with smtplib.SMTP(HOST, port, timeout=WAIT_S) as client:
            options = ["SMTPUTF8", "BODY=8BITMIME"] if one.needs_utf8 else ["BODY=8BITMIME"]
            client.sendmail(SENDER, [one.to], one.content, mail_options=options)

    async with postfix.running_client(place, program.ports["SUBMISSION"], program.key.pair) as port:
        await asyncio.to_thread(hand_in, port)
        await arrived(program, one.to)


async def run(*command: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """Run a program to its end and return what it printed."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    async with asyncio.timeout(WAIT_S):
        printed, _ = await child.communicate(stdin.encode())
    assert child.returncode == 0, printed.decode("utf-8", "replace")
    return printed.decode()


async def arrived(program: Program, to: str) -> bytes:
    """Return the one mail to that recipient."""

    async def look() -> Any:
        return caught_by(program, to)

    (octets,) = await program.until(look)
    return bytes(octets)


async def check(program: Program, to: str, body_hash: str) -> EmailMessage:
    octets = await arrived(program, to)
    head, _, body = re.sub(rb"\r?\n", b"\r\n", octets).partition(b"\r\n\r\n")
    assert hashlib.sha256(body).hexdigest() == body_hash
    assert await signatures(program, octets) == [("ed25519-sha256", True), ("rsa-sha256", True)]
    assert b"x-outrider" not in head.lower()
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


CLIENTS = [
    pytest.param("smtplib", by_smtplib, "jörg", id="smtplib"),
    pytest.param("aiosmtplib", by_aiosmtplib, "jörg", id="aiosmtplib"),
    pytest.param("swaks", by_swaks, "", id="swaks", marks=pytest.mark.needs("swaks")),  # It speaks no SMTPUTF8.
    pytest.param("curl", by_curl, "", id="curl", marks=pytest.mark.needs("curl")),
    pytest.param("postfix", by_postfix, "jörg", id="postfix"),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["text", "files", "unicode"])
@pytest.mark.parametrize(("who", "send", "local"), CLIENTS)
async def test_a_client_sends(caught: Program, tmp_path: Path, who: str, send: Send, local: str, *, kind: str) -> None:
    one = letter(kind, who, local=local)
    await send(caught, one, tmp_path)
    message = await check(caught, one.to, one.body_hash)
    assert message["Subject"] == ("Grüße, 你好" if kind == "unicode" else f"Hello from {who}")
    if kind == "files":
        (attached,) = message.iter_attachments()
        assert (attached.get_filename(), attached.get_content()) == ("Rechnung.pdf", FILE)
    shown = await caught.command_json("show", one.to)
    assert shown["recipient"]["status"] == "delivered"


NODEMAILER = """
const { createHash } = require('node:crypto');
const nodemailer = require('nodemailer');
const MailComposer = require('nodemailer/lib/mail-composer');
const given = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const transport = nodemailer.createTransport({
  host: given.host, port: given.port, secure: false, requireTLS: true, tls: { rejectUnauthorized: false },
  auth: { user: given.user, pass: given.pass },
});
(async () => {
  const made = await new MailComposer(given.mail).compile().build();
  const raw = made.toString('latin1').replace(/\\r?\\n/g, '\\r\\n');
  const body = raw.slice(raw.indexOf('\\r\\n\\r\\n') + 4);
  await transport.sendMail({ envelope: { from: given.from, to: given.to }, raw: Buffer.from(raw, 'latin1') });
  process.stdout.write(createHash('sha256').update(Buffer.from(body, 'latin1')).digest('hex'));
})();
"""
DJANGO = """
import hashlib, json, ssl, sys
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.smtp import EmailBackend

given = json.load(sys.stdin)
settings.configure(
    EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend", EMAIL_HOST=given["host"], EMAIL_PORT=given["port"],
    EMAIL_HOST_USER=given["user"], EMAIL_HOST_PASSWORD=given["pass"], EMAIL_USE_TLS=True, EMAIL_TIMEOUT=20,
)
# What an administrator does by trusting the certificate; the test has a self-signed one.
EmailBackend.ssl_context = ssl._create_unverified_context()
mail = EmailMultiAlternatives(
    given["mail"]["subject"], given["mail"]["text"], given["mail"]["from"], [given["mail"]["to"]]
)
if "html" in given["mail"]:
    mail.attach_alternative(given["mail"]["html"], "text/html")
    mail.attach("Rechnung.pdf", bytes.fromhex(given["file"]), "application/pdf")
message = mail.message()
mail.message = lambda *_, **__: message
body = message.as_bytes(linesep="\\r\\n").partition(b"\\r\\n\\r\\n")[2]
assert mail.send() == 1
print(hashlib.sha256(body).hexdigest(), end="")
"""


def form(program: Program, kind: str, who: str) -> dict[str, Any]:
    """Return what a client that writes its own mail is told."""
    assert program.key is not None
    to = f"{kind}-{who}@{'bücher' if kind == 'unicode' else 'partner'}.example"
    mail: dict[str, Any] = {
        "from": f"Example Shop <{SENDER}>",
        "to": f"Jörg <{to}>",
        "subject": "Grüße",
        "text": "Hello\n.\n",
    }
    if kind == "files":
        mail["html"] = "<p>Hello</p>"
        mail["attachments"] = [{"filename": "Rechnung.pdf", "content": FILE.hex(), "encoding": "hex"}]
    return {
        "host": HOST,
        "port": program.ports["SUBMISSION"],
        "user": program.key.access_key_id,
        "pass": program.key.access_key_secret,
        "from": SENDER,
        "to": to,
        "file": FILE.hex(),
        "mail": mail,
    }


@pytest.mark.timeout(120)
@pytest.mark.needs("node")
@pytest.mark.parametrize("kind", ["text", "files", "unicode"])
async def test_nodemailer_sends(caught: Program, kind: str) -> None:
    modules = Path(__file__).parents[2] / "node_modules"
    if not (modules / "nodemailer").is_dir():
        pytest.skip("no nodemailer: npm ci")
    given = form(caught, kind, "nodemailer")
    printed = await run("node", "-e", NODEMAILER, stdin=json.dumps(given), env={"NODE_PATH": str(modules)})
    message = await check(caught, given["to"].replace("bücher", "xn--bcher-kva"), printed)
    assert message["Subject"] == "Grüße"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["text", "files", "unicode"])
async def test_django_sends(caught: Program, kind: str) -> None:
    pytest.importorskip("django", reason="no Django: make dev")
    given = form(caught, kind, "django")
    printed = await run(sys.executable, "-c", DJANGO, stdin=json.dumps(given))
    message = await check(caught, given["to"].replace("bücher", "xn--bcher-kva"), printed)
    assert message["Subject"] == "Grüße"
