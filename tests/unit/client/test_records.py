import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from outrider.client import records
from outrider.client import webhooks as hooks
from outrider.client.records import Attachment, Mail, Message, attach
from outrider.faces.api.v1.events import EventList, EventShown
from outrider.faces.api.v1.message_types import (
    BatchAccepted,
    BatchPart,
    Cancelled,
    FileShown,
    MessageAccepted,
    MessageContent,
    MessageEvent,
    MessageEvents,
    MessageList,
    MessageListed,
    MessageShown,
    NewFile,
    NewMessage,
    RecipientShown,
)
from outrider.faces.api.v1.webhooks import (
    ReplayAnswer,
    TestAnswer,
    WebhookDetail,
    WebhookList,
    WebhookMade,
    WebhookShown,
)


def test_a_file_becomes_an_attachment(tmp_path: Path) -> None:
    path = tmp_path / "Rechnung 7.pdf"
    path.write_bytes(b"%PDF\0")
    assert attach(path) == Attachment(name="Rechnung 7.pdf", type="application/pdf", content=b"%PDF\0")
    named = attach(str(path), name="logo.png", content_id="logo")
    assert (named.name, named.type, named.content_id) == ("logo.png", "image/png", "logo")
    assert attach(path, name="x", media_type="text/plain").type == "text/plain"
    assert attach(path, name="x.unheard-of").type == ""


def test_an_empty_file_is_sent_as_one_and_a_url_without_content(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.touch()
    assert json.loads(msgspec.json.encode(attach(path)))["content"] == ""
    assert json.loads(msgspec.json.encode(Attachment(url="https://a.example/a"))) == {"url": "https://a.example/a"}


def test_what_is_no_file_is_not_attached(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(OSError):
            attach(path)


def test_an_instant_has_its_zone() -> None:
    given = {"sender": "a@b.example", "to": "c@d.example", "subject": "s"}
    with pytest.raises(ValueError, match="time zone"):
        Mail(**given, send_at=datetime.fromisoformat("2026-11-28"))  # type: ignore[arg-type]
    mail = Mail(**given, send_at=datetime(2026, 11, 28, tzinfo=timezone(timedelta(hours=1))))  # type: ignore[arg-type]
    assert json.loads(msgspec.json.encode(mail))["send_at"] == "2026-11-28T00:00:00+01:00"


def test_answers_of_a_newer_server_are_read() -> None:
    octets = b'{"id":"a","from":"b","accepted_at":"2026-11-28T10:00:00Z","x":{},'
    octets += b'"recipients":[{"address":"c","status":"new"}]}'
    message = msgspec.json.decode(octets, type=Message)
    assert (message.recipients[0].status, message.accepted_at) == ("new", datetime(2026, 11, 28, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (records.Mail, NewMessage),
        (records.Accepted, MessageAccepted),
        (records.Message, MessageShown),
        (records.MessageListed, MessageListed),
        (records.MessagePage, MessageList),
        (records.MessageEvent, MessageEvent),
        (records.MessageEventPage, MessageEvents),
        (records.Event, EventShown),
        (records.EventPage, EventList),
        (records.BatchPart, BatchPart),
        (records.BatchAccepted, BatchAccepted),
        (records.Recipient, RecipientShown),
        (records.FileShown, FileShown),
        (records.Cancelled, Cancelled),
        (records.Attachment, NewFile),
        (hooks.Webhook, WebhookShown),
        (hooks.WebhookDetail, WebhookDetail),
        (hooks.WebhookMade, WebhookMade),
        (hooks.WebhookPage, WebhookList),
        (hooks.WebhookTested, TestAnswer),
        (hooks.Replayed, ReplayAnswer),
    ],
)
def test_the_client_has_every_field_of_the_server(ours: type[msgspec.Struct], theirs: type[msgspec.Struct]) -> None:
    def names(kind: type[msgspec.Struct]) -> set[str]:
        return {field.encode_name for field in msgspec.structs.fields(kind)}

    assert names(ours) == names(theirs)


def test_the_client_knows_no_field_of_content_that_the_server_does_not() -> None:
    known = {field.encode_name for field in msgspec.structs.fields(records.Content)}
    assert known <= {field.encode_name for field in msgspec.structs.fields(MessageContent)}
