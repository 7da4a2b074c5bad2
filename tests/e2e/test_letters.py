"""What a mail may say beyond subject and content, by the command, through the real program and out of its mailbox."""

import email.policy
import hashlib
from email.message import EmailMessage
from pathlib import Path

import pytest

from outrider.testing.program import SENDER, Program
from tests.e2e.test_first_mail import caught_by, signatures

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def read(octets: bytes) -> EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_copies_files_and_fields_arrive_and_are_signed(caught: Program, tmp_path: Path) -> None:
    file = tmp_path / "Rechnung März.pdf"
    file.write_bytes(hashlib.sha256(b"seed").digest() * 40_000)
    page = tmp_path / "page.html"
    page.write_text("<p>Zażółć</p>", "utf-8")
    sent = await caught.command_json(
        *("send", "Ann Lee <ann@letters.example>", "--cc", "bob@letters.example", "--bcc", "eve@letters.example"),
        *("--from", SENDER, "--subject", "Invoice", "--text", "See the file.", "--html", str(page)),
        *(
            "--attach",
            str(file),
            "--reply-to",
            "Help <help@shop.example>",
            "--header",
            "X-Order: 1042",
            "--tag",
            "bill",
        ),
    )
    await caught.settled(sent["session_id"])
    for recipient in ("ann@letters.example", "bob@letters.example", "eve@letters.example"):
        (octets,) = caught_by(caught, recipient)
        message = read(octets)
        assert (message["To"], message["Cc"]) == ("Ann Lee <ann@letters.example>", "bob@letters.example")
        assert (message["Reply-To"], message["X-Order"]) == ("Help <help@shop.example>", "1042")
        assert b"eve@letters.example" not in octets.partition(b"\r\n\r\n")[0].partition(b"From:")[2]
        (attached,) = message.iter_attachments()
        assert attached.get_filename() == file.name
        assert attached.get_payload(decode=True) == file.read_bytes()
        assert all(is_good for _, is_good in await signatures(caught, octets))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--header", "no colon"), "Name: value"),
        (("--header", "Bcc: all@a.example"), "headers[0]"),
        (("--attach", "/nowhere/at/all"), "No such file"),
        (("--send-at", "tomorrow"), "an instant looks like"),
        (("--send-at", "2020-01-01T00:00:00Z"), "within 30 days"),
        (("--send-at", "2999-01-01T00:00:00Z"), "within 30 days"),
        (("--pool", "golden"), "pool"),
        (("--cc", "nobody"), "shown_cc[0]"),
        (("--tag", ""), "tags[0]"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_sent(
    caught: Program, arguments: tuple[str, ...], word: str
) -> None:
    told = await caught.command(
        "send", "wrong@letters.example", "--from", SENDER, "--subject", "x", "--text", "y", *arguments
    )
    assert told.code != 0
    assert word in told.stderr
    assert caught_by(caught, "wrong@letters.example") == []
