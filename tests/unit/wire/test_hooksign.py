"""Signatures of webhook calls: the field's own library verifies each, whatever is in the body."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from outrider.base.errors import CallerError
from outrider.wire import hooksign

SECRETS = st.binary(min_size=24, max_size=64)


def now_s() -> int:
    return int(datetime.now(UTC).timestamp())  # The library compares it with the real clock.


@given(SECRETS, st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.text())
def test_the_library_verifies_what_we_sign(secret: bytes, call_id: str, text: str) -> None:
    body = b'{"text": "%s"}' % text.encode().hex().encode()
    headers = hooksign.headers([secret], call_id, now_s(), body)
    assert Webhook(hooksign.secret_text(secret)).verify(body, headers) == {"text": text.encode().hex()}


def test_every_secret_that_signs_is_enough() -> None:
    old, new = bytes(range(24)), bytes(range(32))
    headers = hooksign.headers([new, old], "msg_1", now_s(), b"{}")
    for secret in (old, new):
        assert Webhook(hooksign.secret_text(secret)).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(hooksign.secret_text(bytes(32))).verify(b"{}", headers)


def test_the_example_of_the_libraries_comes_out() -> None:
    # The vector that Svix and the libraries of Standard Webhooks test with.
    secret = hooksign.parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = hooksign.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(SECRETS)
def test_a_secret_is_read_as_it_was_written(secret: bytes) -> None:
    assert hooksign.parse_secret(hooksign.secret_text(secret)) == secret


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ä", "whsec_*"]
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as caught:
        hooksign.parse_secret(text)
    assert caught.value.field == "secret"
