"""A call read by the client as the server made it; what is not ours, or is old, is refused."""

import pytest

from outrider.client import WebhookRefusedError, read_webhook
from outrider.services.webhooks import payload
from outrider.wire import hooksign
from tests.unit.services.webhooks.logged import EVENT, NOW

NOW_S = int(NOW.timestamp())
SECRET, OTHER = bytes(range(32)), bytes(24)
BODY = payload.of_event(EVENT)


def headers(body: bytes = BODY, *secrets: bytes) -> dict[str, str]:
    return hooksign.headers(secrets or (SECRET,), "1-2-3", NOW_S, body)


def test_a_call_is_read_as_its_event() -> None:
    given = {name.title(): value for name, value in headers().items()}
    (event,) = read_webhook(hooksign.secret_text(SECRET), given, BODY, now_s=NOW_S)
    assert (event.id, event.kind, event.recipient, event.sender) == ("1-2-3", "bounced", EVENT.recipient, EVENT.sender)


def test_a_batch_is_read_as_its_events_and_a_test_as_none() -> None:
    batch = payload.with_token(payload.of_batch([BODY, payload.of_test(NOW), BODY], NOW), "word")
    found = read_webhook(hooksign.secret_text(SECRET), headers(batch), batch, now_s=NOW_S)
    assert [one.id for one in found] == ["1-2-3", "1-2-3"]


def test_any_of_several_secrets_will_do_on_either_side() -> None:
    texts = [hooksign.secret_text(OTHER), hooksign.secret_text(SECRET)]
    assert read_webhook(texts, headers(), BODY, now_s=NOW_S)
    assert read_webhook(texts[0], headers(BODY, SECRET, OTHER), BODY, now_s=NOW_S)


@pytest.mark.parametrize(
    ("change", "body", "now_s"),
    [
        ({}, BODY + b" ", NOW_S),
        ({}, BODY, NOW_S + 301),
        ({}, BODY, NOW_S - 301),
        ({"webhook-id": "other"}, BODY, NOW_S),
        ({"webhook-timestamp": str(NOW_S - 1)}, BODY, NOW_S),
        ({"webhook-timestamp": "soon"}, BODY, NOW_S),
        ({"webhook-signature": ""}, BODY, NOW_S),
        ({"webhook-signature": "v1,ä"}, BODY, NOW_S),
    ],
)
def test_what_is_not_ours_is_refused(change: dict[str, str], body: bytes, now_s: int) -> None:
    with pytest.raises(WebhookRefusedError):
        read_webhook(hooksign.secret_text(SECRET), headers() | change, body, now_s=now_s)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"type":"mail.new","data":{}}'])
def test_what_tells_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefusedError):
        read_webhook(hooksign.secret_text(SECRET), headers(body), body, now_s=NOW_S)


def test_a_secret_that_is_none_is_the_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        read_webhook("whsec_*", headers(), BODY, now_s=NOW_S)
