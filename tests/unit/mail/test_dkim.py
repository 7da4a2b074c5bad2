"""Signing: canonical forms to the letter, what is signed, and signatures that an independent verifier accepts."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from outrider.base.errors import CallerError
from outrider.mail import dkim
from outrider.mail.dkim import SigningKey
from tests.unit.mail.keys import DOMAIN, ed25519_key, find_record, pem_of, rsa_key, sign

AT: Final = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
BODY: Final = b"Hello  you \r\n\r\n"
FIELDS: Final = (
    b"To: user@partner.example\r\n",
    b"Message-ID: <a1@shop.example>\r\n",
    b"From: Shop <noreply@shop.example>\r\n",
    b"Subject: A \r\n  long   subject\r\n",
    b"Date: Tue, 24 Nov 2026 01:02:03 +0000\r\n",
    b"MIME-Version: 1.0\r\n",
    b"Content-Type: text/plain; charset=us-ascii\r\n",
)
RFC8463: Final = Path(__file__).parents[2] / "data/mail/rfc8463_appendix_a.eml"


def signed(keys: Sequence[SigningKey], fields: Sequence[bytes] = FIELDS, body: bytes = BODY) -> bytes:
    return sign(fields, body, keys, AT) + b"".join(fields) + b"\r\n" + body


def accepted_by_dkimpy(message: bytes, index: int = 0) -> bool:
    def ask(name: bytes, timeout: int = 5) -> bytes | None:
        selector, _, domain = name.decode().rstrip(".").partition("._domainkey.")
        record = find_record(domain, selector)
        return record.encode() if record else None

    try:
        return bool(dkimpy.DKIM(message).verify(index, dnsfunc=ask))
    except dkimpy.ValidationError:  # How it says that the body was changed.
        return False


def tags_of(field: bytes) -> dict[str, str]:
    text = field.decode().partition(":")[2].replace("\r\n", "")
    pairs = (spec.partition("=") for spec in text.split(";"))
    return {name.strip(): re.sub(r"\s", "", value) for name, _, value in pairs}


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 §3.4.5.
        (b"", b""),
        (b"\r\n", b""),
        (b"\r\n\r\n\r\n", b""),
        (b" \t\r\n \r\n", b""),
        (b"a", b"a\r\n"),
        (b"a ", b"a\r\n"),
        (b"a\r\n ", b"a\r\n"),
        (b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n", b"a\r\n"),
        (b"\r\na\r\n", b"\r\na\r\n"),
        (b"a\t\t b\t\r\n", b"a b\r\n"),
        (b"\ta\r\n", b" a\r\n"),
        (b"a" + b" " * 1000 + b"b", b"a b\r\n"),
        (b"a\n\n", b"a\n\n\r\n"),  # Bare LF and CR end no line.
        (b"a \n", b"a \n\r\n"),
        (b"a\r", b"a\r\r\n"),
        (b"a\r\r\n", b"a\r\r\n"),
        (b"a\n\r\n", b"a\n\r\n"),
        (b"a\n\r\n\r\n", b"a\n\r\n"),
        (b"a\r\n\n\r\n\r\n", b"a\r\n\n\r\n"),
        (b"a\x0b\x0c\r\n", b"a\x0b\x0c\r\n"),  # Not white space here.
    ],
)
def test_a_body_in_relaxed_form(body: bytes, canonical: bytes) -> None:
    assert dkim.canonical_body(body) == canonical
    assert dkim.body_hash(body) == hashlib.sha256(canonical).digest()


def test_the_hash_of_the_empty_body_is_the_one_of_the_rfc() -> None:
    assert base64.b64encode(dkim.body_hash(b"")) == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # RFC 6376 §3.4.4.


@pytest.mark.parametrize(
    "body", [b"a \t b\r\n" * 200_000, b" " * 2_000_000, b"\r\n" * 1_000_000, b"\n\r" * 1_000_000], ids=range(4)
)
def test_no_body_takes_long(body: bytes) -> None:
    # 2 MB each; quadratic work would take minutes and run into the timeout of the suite.
    assert len(dkim.canonical_body(body)) <= len(body) + 2


@pytest.mark.parametrize(
    ("field", "canonical"),
    [
        (b"A: X\r\n", b"a:X\r\n"),  # RFC 6376 §3.4.5.
        (b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),  # RFC 6376 §3.4.5.
        (b"Subject: a  b\r\n", b"subject:a b\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject: \r\n x\r\n", b"subject:x\r\n"),
        (b"SUBJect:a:b\r\n", b"subject:a:b\r\n"),
        ("To: jörg@x.example\r\n".encode(), "to:jörg@x.example\r\n".encode()),
    ],
)
def test_a_field_in_relaxed_form(field: bytes, canonical: bytes) -> None:
    assert dkim.canonical_field(field) == canonical


def test_the_ed25519_signature_of_rfc_8463_is_reproduced() -> None:
    message = RFC8463.read_bytes().replace(b"\n", b"\r\n")
    own, _, *fields = re.split(rb"(?<=\r\n)(?![ ])", message.partition(b"\r\n\r\n")[0] + b"\r\n")
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = dkim.load_key("football.example.com", "brisbane", pem_of(ed25519.Ed25519PrivateKey.from_private_bytes(seed)))
    assert dkim.public_record(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert isinstance(key.private_key, ed25519.Ed25519PrivateKey)
    unsigned, _, proof = own.rpartition(b" b=")
    octets = b"".join(map(dkim.canonical_field, [*fields[:5], unsigned + b" b=\r\n"])).removesuffix(b"\r\n")
    body = message.partition(b"\r\n\r\n")[2]
    assert base64.b64encode(dkim.body_hash(body)) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    assert key.private_key.sign(hashlib.sha256(octets).digest()) == base64.b64decode(proof)


def test_a_signature_field_is_these_bytes() -> None:
    # Ed25519 is deterministic: another value here means that something else is signed now.
    assert sign(FIELDS, BODY, [ed25519_key()], AT).split(b"\r\n") == [
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=shop.example;",
        b" s=e1; t=1795482123;",
        b" h=content-type:mime-version:date:subject:from:message-id:to:from:subject:to:",
        b" date;",
        b" bh=nk9eb1oaKD9XE8xtjbIbDNQKqn0AdT3iXNyh74lVbAU=;",
        b" b=QtBZ2Q2J4GlowVvk7c0l/mpn7duVMV7TnsS/azJ/woOrZ2QMNYTWa8CTmg8bHwv2On1Yic34",
        b" epcmaitDwq+YDg==",
        b"",
    ]


def test_both_signatures_are_accepted_by_dkimpy() -> None:
    message = signed([rsa_key(), ed25519_key()])
    assert [tags_of(field)["s"] for field in re.findall(rb"DKIM-Signature:(?:.+\r\n)(?:[ ].*\r\n)*", message)] == [
        "r1",
        "e1",
    ]
    assert accepted_by_dkimpy(message, 0)
    assert accepted_by_dkimpy(message, 1)


@pytest.mark.parametrize("name", [b"From", b"Subject", b"To", b"Date"])
@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
def test_adding_a_field_that_is_oversigned_breaks_the_signature(name: bytes, key: Callable[[], SigningKey]) -> None:
    message = signed([key()])
    assert accepted_by_dkimpy(message)
    assert accepted_by_dkimpy(b"X-Other: x\r\n" + message)
    assert not accepted_by_dkimpy(name + b": x\r\n" + message)


def test_fields_that_are_not_there_are_oversigned_too() -> None:
    field = sign(FIELDS[2:3], b"", [ed25519_key()], AT)
    assert tags_of(field)["h"] == "from:from:subject:to:date"


@pytest.mark.parametrize("change", [(b"1.0", b"1.1"), (b"A \r\n", b"B \r\n"), (b"Hello", b"hello"), (b"<a1@", b"<a2@")])
def test_a_changed_message_has_no_valid_signature(change: tuple[bytes, bytes]) -> None:
    message = signed([rsa_key()])
    assert message.count(change[0]) == 1
    assert not accepted_by_dkimpy(message.replace(*change))


def test_what_relaxed_forgives_is_forgiven() -> None:
    message = signed([rsa_key()])
    changed = message.replace(b"A \r\n  long   subject", b"\tA long\tsubject ").replace(
        b"Hello  you \r\n", b"Hello\tyou\r\n\r\n"
    )
    assert changed != message
    assert accepted_by_dkimpy(changed)


@pytest.mark.parametrize(
    "name", ["Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "Cc", "List-Id"]
)
def test_fields_that_matter_are_signed_when_present(name: str) -> None:
    field = sign([*FIELDS, f"{name}: x\r\n".encode()], BODY, [ed25519_key()], AT)
    assert name.lower() in tags_of(field)["h"].split(":")


@pytest.mark.parametrize("name", ["X-Note", "Received", "Return-Path", "DKIM-Signature"])
def test_fields_that_change_on_the_way_are_not_signed(name: str) -> None:
    field = sign([*FIELDS, f"{name}: x\r\n".encode()], BODY, [ed25519_key()], AT)
    assert name.lower() not in tags_of(field)["h"].split(":")


def test_of_a_field_that_is_there_twice_both_are_signed() -> None:
    fields = [*FIELDS, b"Reply-To: a@x.example\r\n", b"Reply-To: b@x.example\r\n"]
    message = signed([rsa_key()], fields)
    assert accepted_by_dkimpy(message)
    assert not accepted_by_dkimpy(message.replace(b"a@x", b"c@x"))
    assert not accepted_by_dkimpy(message.replace(b"b@x", b"c@x"))


@pytest.mark.parametrize("late_count", range(len(FIELDS) + 1))
def test_preparing_some_fields_gives_a_valid_signature_too(late_count: int) -> None:
    late, early = FIELDS[:late_count], FIELDS[late_count:]
    prepared = dkim.prepare(early, dkim.body_hash(BODY), [rsa_key(), ed25519_key()])
    message = prepared.sign(late, AT) + b"".join(FIELDS) + b"\r\n" + BODY
    assert accepted_by_dkimpy(message, 0)
    assert accepted_by_dkimpy(message, 1)


def test_a_prepared_message_is_signed_for_each_recipient_with_its_own_fields() -> None:
    prepared = dkim.prepare(FIELDS[2:], dkim.body_hash(BODY), [rsa_key()])
    rest = b"".join(FIELDS[2:]) + b"\r\n" + BODY
    several: list[list[bytes]] = [
        [b"To: a@x.example\r\n", b"Message-ID: <1@shop.example>\r\n"],
        [b"To: b@x.example\r\n", b"Message-ID: <2@shop.example>\r\n"],
        [b"To: c@x.example\r\n", b"Message-ID: <3@shop.example>\r\n", b"List-Unsubscribe: <https://x.example/3>\r\n"],
        [b"To: d@x.example\r\n", b"To: e@x.example\r\n"],
    ]
    signatures = [prepared.sign(fields, AT) for fields in several]
    assert len(set(signatures)) == len(several)
    for fields, signature in zip(several, signatures, strict=True):
        assert accepted_by_dkimpy(signature + b"".join(fields) + rest)
    assert not accepted_by_dkimpy(signatures[0] + b"".join(several[1]) + rest)


def test_the_time_is_the_instant_whatever_its_zone() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))
    fields = [sign(FIELDS, BODY, [ed25519_key()], at) for at in (AT, elsewhere)]
    assert fields[0] == fields[1]
    assert tags_of(fields[0])["t"] == "1795482123"


def test_no_line_of_a_signature_is_long() -> None:
    domain = ".".join(["d" * 60] * 3 + ["example"])
    long = dkim.load_key(domain, "s" * 63, pem_of(ed25519.Ed25519PrivateKey.generate()))
    fields = sign(FIELDS * 5, BODY, [rsa_key(), long], AT).split(b"\r\n")
    assert all(len(line) <= 78 or line.startswith(b" d=") for line in fields)


@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
def test_the_record_says_which_kind_of_key_it_is(key: Callable[[], SigningKey]) -> None:
    loaded = key()
    assert dkim.public_record(loaded).startswith(f"v=DKIM1; k={loaded.algorithm.partition('-')[0]}; p=")


def test_a_key_says_nothing_of_itself() -> None:
    numbers = rsa_key().private_key.private_numbers()  # type: ignore[union-attr]
    assert str(numbers.d) not in repr(rsa_key())
    assert "PRIVATE" not in repr(rsa_key())


def test_the_domain_of_a_key_becomes_an_a_label() -> None:
    assert dkim.load_key("Bücher.example", "s1", pem_of(ed25519_key().private_key)).domain == "xn--bcher-kva.example"


BAD_KEYS: Final = {
    "garbage": b"garbage",
    "empty": b"",
    "cut": pem_of(rsa_key().private_key)[:200],
    "public": ed25519.Ed25519PrivateKey.generate()
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "curve": ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    "locked": ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    ),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(CallerError) as caught:
        dkim.load_key(DOMAIN, "s1", BAD_KEYS[name])
    assert caught.value.field == "key"


@pytest.mark.parametrize("selector", ["", "S1", "a b", "a;b", "-a", "a..b", "a.", "ü", "a\n", "a" * 64])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(CallerError) as caught:
        dkim.load_key(DOMAIN, selector, pem_of(ed25519_key().private_key))
    assert caught.value.field == "selector"


def test_a_selector_may_have_dots() -> None:
    assert dkim.load_key(DOMAIN, "2026.mail-1", pem_of(ed25519_key().private_key)).selector == "2026.mail-1"


def test_fields_and_body_are_split_for_signing() -> None:
    assert dkim.split(b"A: b\r\n c\r\nD: e\r\n\r\nx\r\n\r\ny") == ([b"A: b\r\n c\r\n", b"D: e\r\n"], b"x\r\n\r\ny")
    assert dkim.split(b"\r\nx") == ([], b"x")
    assert dkim.split(b"A: b\r\n") == ([b"A: b\r\n"], b"")
