"""uSpeedo's signatures: its published vectors, and whatever else its own client would sign."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uspeedo.core.auth import Credential

from outrider.base.errors import CallerError
from outrider.wire import body_signature

SNIPPET = {
    "Action": "SendEmailTemplate",
    "TemplateId": "UET1",
    "SendEmail": "n@mail.example.test",
    "Subject": "Hi",
    "EmailContent": [
        {"EmailAddress": "a@example.test", "TemplateVariableParams": ["name{##}Ana", "code{##}42"]},
    ],
}


def test_the_vector_of_the_snippet() -> None:
    assert body_signature.sign(SNIPPET, "SK") == "ed2c26369467ab4acfbb6002fa02bf9f0da96cfd"
    text = "".join(body_signature._words(SNIPPET, 32)) + "SK"
    assert text == (
        "ActionSendEmailTemplateEmailContentEmailAddressa@example.testTemplateVariableParamsname{##}Anacode{##}42"
        "SendEmailn@mail.example.testSubjectHiTemplateIdUET1SK"
    )


def test_the_vector_of_the_documentation() -> None:
    """docs/sms/api/signature-1.md, by shared/uspeedo.md 2; it nests lists in objects in lists."""
    targets = [
        {"TemplateParams": ["123456", "653132", "nickname1"], "Phone": "55212345780"},
        {"TemplateParams": ["123457", "765421", "nickname2"], "Phone": "55212345781"},
    ]
    content = [{"TemplateId": "UTA2233108MUY3HZ", "SenderId": "uSpeedo", "Target": targets}]
    body = {"Action": "SendBatchUSMSMessage", "AccountId": 10001, "TaskContent": content}
    secret = "MjI3YmYyMjItNmM4Mi00ZGM5LWEwNDQtN2EzZjM0Yzk2OWE1"
    assert body_signature.sign(body, secret) == "69cc15724cda05b63c99cebf8226202d4c69ef0f"


def test_what_php_adds_is_not_signed() -> None:
    added = SNIPPET | {"PublicKey": "AK", "Signature": "ed2c"}
    assert body_signature.sign(added, "SK") == body_signature.sign(SNIPPET, "SK")
    nested = {"A": {"PublicKey": "x"}}
    assert body_signature.sign(nested, "SK") != body_signature.sign({"A": {}}, "SK")


TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**53), 2**53) | st.none() | st.sampled_from([42.0, 1.5, -0.25]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT.filter(lambda name: name not in ("PublicKey", "Signature")), VALUES, max_size=5), TEXT)
def test_all_that_the_client_signs_we_sign_alike(body: dict[str, object], secret: str) -> None:
    """Through JSON, as it travels."""
    received = body_signature.read(msgspec.json.encode(body))
    assert body_signature.sign(received, secret) == Credential("AK", secret).verify_ac(body)


def test_an_empty_body_is_an_empty_object() -> None:
    assert body_signature.read(b"") == {}


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b"{", b'{"a":}', b"\xff", b'"x"', b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        body_signature.read(body)
    assert caught.value.field == "Body"


def test_deep_nesting_is_refused_and_not_followed() -> None:
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(CallerError, match="deeply"):
        body_signature.sign({"a": deep}, "SK")


def test_too_many_values_are_refused_and_not_all_read() -> None:
    assert body_signature.sign({"a": [1] * 100_000}, "SK")
    with pytest.raises(CallerError, match="too many"):
        body_signature.sign({"a": [1] * 6_000_000}, "SK")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        signature = body_signature.sign(body_signature.read(body), "SK")
    except CallerError:
        return
    assert len(signature) == 40
