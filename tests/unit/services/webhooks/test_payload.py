"""What is said to a customer's server."""

import msgspec

from outrider.base.vocab import EventKind
from outrider.faces.api.v1 import events
from outrider.services.webhooks import payload
from tests.unit.services.webhooks.logged import EVENT, NOW


def test_an_event_is_told_as_the_api_gives_it() -> None:
    said = msgspec.json.decode(payload.of_event(EVENT))
    assert (said["type"], said["timestamp"]) == ("mail.bounced", "2026-11-28T10:00:00Z")
    assert said["data"] == msgspec.json.decode(msgspec.json.encode(events.shown(EVENT)))


def test_every_kind_has_its_word() -> None:
    words = [payload.type_of(kind) for kind in EventKind]
    assert len(set(words)) == len(words)
    assert {"mail.delivered", "mail.bounced_late", "domain.failed", "webhook.paused", "alert.raised"} <= set(words)
    assert payload.TEST_TYPE not in words


def test_a_batch_holds_its_events_and_is_named_for_them() -> None:
    said = msgspec.json.decode(payload.of_batch([payload.of_event(EVENT), payload.of_test(NOW)], NOW))
    assert (said["type"], [one["type"] for one in said["data"]]) == ("batch", ["mail.bounced", "webhook.test"])
    assert payload.batch_name(["1", "2"]) == payload.batch_name(["1", "2"]) != payload.batch_name(["2", "1"])


def test_a_token_is_put_into_whatever_is_said() -> None:
    for envelope in (payload.of_event(EVENT), payload.of_batch([payload.of_test(NOW)], NOW), payload.of_test(NOW)):
        said = msgspec.json.decode(payload.with_token(envelope, 'a "word"'))
        assert said.pop("Token") == 'a "word"'
        assert said == msgspec.json.decode(envelope)
    assert payload.with_token(b"{}", "") == b"{}"
