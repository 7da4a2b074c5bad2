"""Judging signatures: the examples of the RFC, what a receiver must refuse, and garbage, which is only a bad result."""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outrider.mail import dkim, dkim_verify
from outrider.mail.dkim_verify import Result, Verification
from tests.unit.mail.keys import DOMAIN, ed25519_key, find_record, pem_of, rsa_key, sign

AT: Final = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
BODY: Final = b"Hello  you \r\nand you\r\n\r\n"
FIELDS: Final = (b"From: noreply@shop.example\r\n", b"To: user@partner.example\r\n", b"Subject:  Your   Order\r\n")
MESSAGE: Final = b"".join(FIELDS) + b"\r\n" + BODY
RFC8463: Final = Path(__file__).parents[2] / "data/mail/rfc8463_appendix_a.eml"
RFC8463_RECORDS: Final = {  # RFC 8463 A.2.
    "brisbane": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l"
    "/K4w3QIDAQAB",
}


def signed() -> bytes:
    return sign(FIELDS, BODY, [rsa_key(), ed25519_key()], AT) + MESSAGE


def judged(message: bytes, record: str | None = "", *, at: datetime | None = None) -> Verification:
    """Judge the one signature of `message`, with `record` in DNS if given."""
    (found,) = dkim_verify.verify(message, find_record if record == "" else lambda *_: record, at=at)
    return found


def signed_by_hand(tags: str = "", on_top: str = "", **changes: str) -> bytes:
    """Sign with Ed25519 a field with these changes, correctly whatever they say."""
    given = {"v": "1", "a": "ed25519-sha256", "c": "relaxed/relaxed", "d": DOMAIN, "s": "e1", "h": "from:to:subject"}
    given |= {"bh": base64.b64encode(dkim.body_hash(BODY)).decode()} | changes
    own = f"DKIM-Signature: {'; '.join(f'{name}={value}' for name, value in given.items() if value)};{tags} b="
    octets = b"".join(
        map(dkim.canonical_field, [*FIELDS, *filter(None, [on_top.encode()]), own.encode() + b"\r\n"])
    ).removesuffix(b"\r\n")
    proof = ed25519_key().private_key.sign(hashlib.sha256(octets).digest())  # type: ignore[call-arg]
    return own.encode() + base64.b64encode(proof) + b"\r\n" + on_top.encode() + MESSAGE


def test_the_example_of_rfc_8463_passes() -> None:
    message = RFC8463.read_bytes().replace(b"\n", b"\r\n")
    asked: list[tuple[str, str]] = []

    def find(domain: str, selector: str) -> str:
        asked.append((domain, selector))
        return RFC8463_RECORDS[selector]

    assert dkim_verify.verify(message, find) == [
        Verification("football.example.com", "brisbane", "ed25519-sha256", Result.PASS, ""),
        Verification("football.example.com", "test", "rsa-sha256", Result.PASS, ""),
    ]
    assert asked == [("football.example.com", "brisbane"), ("football.example.com", "test")]


@pytest.mark.parametrize("change", [(b"Hi.", b"Ho."), (b"dinner", b"supper"), (b"t=1528637909", b"t=1528637908")])
def test_the_example_changed_fails(change: tuple[bytes, bytes]) -> None:
    message = RFC8463.read_bytes().replace(*change)
    results = dkim_verify.verify(message, lambda _, selector: RFC8463_RECORDS[selector])
    assert [found.result for found in results] == [Result.FAIL, Result.FAIL]


def test_our_own_signatures_pass() -> None:
    found = dkim_verify.verify(signed(), find_record)
    assert [(one.selector, one.result, one.reason) for one in found] == [
        ("r1", Result.PASS, ""),
        ("e1", Result.PASS, ""),
    ]


def test_a_message_with_bare_line_feeds_is_taken_as_it_was_sent() -> None:
    found = dkim_verify.verify(signed().replace(b"\r\n", b"\n"), find_record)
    assert [one.result for one in found] == [Result.PASS, Result.PASS]


@pytest.mark.parametrize("name", [b"From", b"Subject", b"To", b"Date"])
def test_an_added_field_fails(name: bytes) -> None:
    found = dkim_verify.verify(name + b": x\r\n" + signed(), find_record)
    assert [one.result for one in found] == [Result.FAIL, Result.FAIL]
    assert "header" in found[0].reason


def test_a_changed_body_fails() -> None:
    found = dkim_verify.verify(signed() + b"P.S. more\r\n", find_record)
    assert [one.result for one in found] == [Result.FAIL, Result.FAIL]
    assert "body" in found[0].reason


@pytest.mark.parametrize("form", [b"simple/simple", b"relaxed/simple", b"simple/relaxed", b"relaxed/relaxed"])
@pytest.mark.parametrize("body", [BODY, b"", b"\r\n\r\n", b"x"])
def test_what_dkimpy_signs_passes_in_every_form(form: bytes, body: bytes) -> None:
    message = b"".join(FIELDS) + b"\r\n" + body
    signature = dkimpy.sign(
        message,
        b"r1",
        DOMAIN.encode(),
        pem_of(rsa_key().private_key),
        canonicalize=tuple(form.split(b"/")),
        include_headers=[b"from", b"subject", b"subject"],
    )
    assert judged(signature + message).result == Result.PASS
    assert judged(signature + message.replace(b"Your", b"our")).result == Result.FAIL
    is_simple = form.startswith(b"simple")
    spaced = signature + message.replace(b"Your   Order", b"Your Order")
    assert judged(spaced).result == (Result.FAIL if is_simple else Result.PASS)


def test_no_c_means_simple_and_one_word_means_simple_for_the_body() -> None:
    assert judged(signed_by_hand(c="")).result == Result.FAIL  # Signed relaxed by hand.
    assert judged(signed_by_hand(c="relaxed")).reason.startswith("the body")


def test_a_length_limits_what_is_signed_and_is_pointed_out() -> None:
    part = dkim.canonical_body(BODY)[:5]
    message = signed_by_hand(l="5", bh=base64.b64encode(hashlib.sha256(part).digest()).decode())
    found = judged(message + b"added by a stranger\r\n")
    assert found.result == Result.PASS
    assert "only the first 5" in found.reason
    too_long = judged(signed_by_hand(l="999"))
    assert (too_long.result, too_long.reason) == (Result.PERMERROR, "l= is more than the body has")


def test_a_signature_expires() -> None:
    message = signed_by_hand(t="1795000000", x="1795482122")
    assert judged(message, at=AT).reason == "the signature has expired"
    assert judged(message).result == Result.PASS
    assert judged(signed_by_hand(t="1795000000", x="1795482124"), at=AT).result == Result.PASS
    assert judged(signed_by_hand(t="2", x="2")).result == Result.PERMERROR


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": ""}, "v= is missing"),
        ({"v": "2"}, "v= is not 1"),
        ({"a": "rsa-sha1"}, "not an algorithm"),
        ({"a": "rsa-sha256"}, "of another kind"),
        ({"bh": ""}, "bh= is missing"),
        ({"bh": "?"}, "bh= is not base64"),
        ({"d": ""}, "d= is missing"),
        ({"d": "other.example"}, "no key is published"),
        ({"d": "a b"}, "cannot be looked up"),
        ({"s": "\N{SNOWMAN}"}, "cannot be looked up"),
        ({"s": "none"}, "no key is published"),
        ({"h": "to:subject"}, "leaves out From"),
        ({"c": "nofws"}, "canonicalisation"),
        ({"c": "relaxed/x"}, "canonicalisation"),
        ({"i": "@other.example"}, "not in the domain"),
        ({"i": "@evilshop.example"}, "not in the domain"),
        ({"q": "http"}, "q= has no way"),
        ({"l": "-1"}, "l= is not a number"),
        ({"t": "now"}, None),
        ({"x": "never"}, "x= is not a number"),
        ({"x": "\N{SUPERSCRIPT TWO}"}, "x= is not a number"),
    ],
)
def test_a_signature_that_cannot_be_used(changes: dict[str, str], reason: str | None) -> None:
    found = judged(signed_by_hand(**changes))
    assert found.result == Result.PERMERROR
    assert (reason or "t= is not a number") in found.reason


@pytest.mark.parametrize("tags", [" d=shop.example;", " nonsense;", " =x;", " 1a=x;", ";;"])
def test_a_list_of_tags_that_cannot_be_read(tags: str) -> None:
    assert judged(signed_by_hand(tags)).result == Result.PERMERROR


@pytest.mark.parametrize(
    "tags", [" z=From:x;", " unknown=1;", " i=@sub.shop.example;", " i=joe@shop.example;", " q=dns/txt;"]
)
def test_tags_that_change_nothing(tags: str) -> None:
    assert judged(signed_by_hand(tags)).result == Result.PASS


def record(**changes: str) -> str:
    given = {"v": "DKIM1", "k": "ed25519", "p": dkim.public_record(ed25519_key()).rpartition("p=")[2]} | changes
    return "; ".join(f"{name}={value}" for name, value in given.items() if value != "-")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (record(p=""), "revoked"),
        (record(p="-"), "no p="),
        (record(p="?"), "p= is not base64"),
        (record(p="YWJj"), "cannot be read"),
        (record(v="DKIM2"), "not a DKIM1 record"),
        (f"p=x; {record(p='-')}", "not a DKIM1 record"),
        (record(k="rsa"), "of another kind"),
        (record(k="-"), "of another kind"),
        (record(h="sha1"), "SHA-256"),
        (record(s="tlsrpt"), "not for mail"),
        ("v=spf1 -all", "not a DKIM1 record"),
        ("", "of another kind"),
        ("\0", "cannot be read"),
    ],
)
def test_a_record_that_does_not_serve(text: str, reason: str) -> None:
    found = judged(signed_by_hand(), text or " ")
    assert found.result == Result.PERMERROR
    assert reason in found.reason


SERVING = [
    *(
        record(),
        record(v="-"),
        record(h="sha1:sha256"),
        record(s="email"),
        record(s="*:x"),
        record(t="y"),
        record(n="note"),
    ),
    *(record() + ";", record().replace("; ", " ;\t")),
]


@pytest.mark.parametrize("text", SERVING)
def test_a_record_that_serves(text: str) -> None:
    assert judged(signed_by_hand(), text).result == Result.PASS


def test_a_strict_record_wants_the_very_domain() -> None:
    assert judged(signed_by_hand(i="@shop.example"), record(t="s")).result == Result.PASS
    assert judged(signed_by_hand(i="@sub.shop.example"), record(t="y:s")).result == Result.PERMERROR


def test_an_rsa_key_of_under_1024_bits_proves_nothing() -> None:
    # Such a key cannot be made here any more, so: a modulus of 1023 bits, published as such.
    weak = rsa.RSAPublicNumbers(65537, (1 << 1022) | 1).public_key()
    octets = weak.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = f"v=DKIM1; p={base64.b64encode(octets).decode()}"
    message = sign(FIELDS, BODY, [rsa_key()], AT) + MESSAGE
    assert "under 1024" in judged(message, text).reason


def test_an_rsa_key_may_be_published_bare() -> None:
    octets = rsa_key().private_key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    message = sign(FIELDS, BODY, [rsa_key()], AT) + MESSAGE
    assert judged(message, f"p={base64.b64encode(octets).decode()}").result == Result.PASS


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"no header",
        b"From: x\r\n\r\nbody",
        b"\0" * 100,
        b": x\r\n",
        b" folded\r\n\r\n",
        b"\n\n\n",
    ],
)
def test_a_message_without_a_signature_has_no_result(message: bytes) -> None:
    assert dkim_verify.verify(message, find_record) == []


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"v=1", b";", b"=", b"\0;\0=\0", b"v=1;" * 1000, b"b=" * 1000])
def test_a_signature_that_is_garbage_is_no_more_than_that(value: bytes) -> None:
    assert judged(b"DKIM-Signature: " + value + b"\r\n\r\n").result == Result.PERMERROR


def test_only_so_many_signatures_are_looked_at() -> None:
    assert len(dkim_verify.verify(b"DKIM-Signature: x\r\n" * 1000 + MESSAGE, find_record)) == 10


def test_a_signature_over_another_signature_passes() -> None:
    first = sign(FIELDS, BODY, [rsa_key()], AT)
    message = signed_by_hand(on_top=first.decode(), h="from:to:subject:dkim-signature")
    assert [one.result for one in dkim_verify.verify(message, find_record)] == [Result.PASS, Result.PASS]
    changed = dkim_verify.verify(message.replace(b"t=1795482123", b"t=1795482124"), find_record)
    assert [one.result for one in changed] == [Result.FAIL, Result.FAIL]
