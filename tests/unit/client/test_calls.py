from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from outrider.client import calls
from outrider.client.records import Mail

ID = UUID("019ef2a4-0000-7000-8000-000000000001")
MAIL = Mail(sender="a@shop.example", to="b@partner.example", subject="s")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SINCE = "2026-11-28T12%3A00%3A00%2B00%3A00"


@pytest.mark.parametrize(
    ("make", "method", "path", "body"),
    [
        (lambda: calls.show(ID), "GET", f"/emails/{ID}", None),
        (lambda: calls.show("a/b?c#d"), "GET", "/emails/a%2Fb%3Fc%23d", None),
        (lambda: calls.show_content(ID), "GET", f"/emails/{ID}/content", None),
        (lambda: calls.cancel(ID), "POST", f"/emails/{ID}/cancel", None),
        (lambda: calls.resend(ID), "POST", f"/emails/{ID}/resend", {}),
        (
            lambda: calls.resend(ID, to=("b@c.example",), statuses=["bounced"]),
            "POST",
            f"/emails/{ID}/resend",
            {"to": ["b@c.example"], "status": ["bounced"]},
        ),
        (lambda: calls.read_events(after="c", limit=5), "GET", "/events?limit=5&after=c", None),
        (lambda: calls.events(since=NOON).page(""), "GET", f"/events?since={SINCE}&limit=1000", None),
        (lambda: calls.events(since=NOON).page("c"), "GET", "/events?limit=1000&after=c", None),
        (lambda: calls.messages(since=NOON).page(""), "GET", f"/emails?since={SINCE}&limit=100", None),
        (lambda: calls.message_events(ID).page("c"), "GET", f"/emails/{ID}/events?limit=1000&after=c", None),
        (lambda: calls.webhooks().page("c"), "GET", "/webhooks?limit=100&after=c", None),
        (lambda: calls.show_webhook(ID), "GET", f"/webhooks/{ID}", None),
        (lambda: calls.remove_webhook(ID), "DELETE", f"/webhooks/{ID}", None),
        (lambda: calls.call_webhook(ID), "POST", f"/webhooks/{ID}/test", None),
        (lambda: calls.resume_webhook(ID), "POST", f"/webhooks/{ID}/resume", None),
        (lambda: calls.rotate_webhook(ID, overlap_s=5.0), "POST", f"/webhooks/{ID}/rotate", {"overlap_s": 5.0}),
        (
            lambda: calls.replay_webhook(ID, since=NOON),
            "POST",
            f"/webhooks/{ID}/replay",
            {"since": "2026-11-28T12:00:00+00:00"},
        ),
        (lambda: calls.request("PUT", "/a", query={"n": 0}, body=[1]), "PUT", "/a?n=0", [1]),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else "",
)
def test_a_call_is_what_the_api_has(
    make: Callable[[], "calls.Call[object]"], method: str, path: str, body: object
) -> None:
    call = make()
    found = None if call.body is None else msgspec.json.decode(call.body)
    assert (call.method, call.path, found) == (method, path, body)


def test_only_what_makes_mail_has_a_key() -> None:
    assert [calls.send(MAIL).idempotency_key, calls.send_batch([]).idempotency_key] == [None, None]
    assert calls.resend(ID).idempotency_key is None
    assert calls.send(MAIL, idempotency_key="order-7").idempotency_key == "order-7"
    assert calls.show(ID).idempotency_key == calls.cancel(ID).idempotency_key == ""


def test_only_what_may_come_twice_is_repeatable() -> None:
    methods = ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH")
    found = [calls.request(method, "/a").is_repeatable for method in methods]
    assert found == [True, True, True, True, False, False]


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "é", "a\0"])
def test_a_key_that_no_header_takes_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="idempotency key"):
        calls.send(MAIL, idempotency_key=key)


@pytest.mark.parametrize("wrong", ["", ".", ".."])
def test_no_id_leads_to_another_path(wrong: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        calls.show(wrong)


def test_an_instant_has_its_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        calls.messages(since=NOON.replace(tzinfo=None)).page("")
