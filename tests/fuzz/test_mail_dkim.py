"""Any message we sign, we and dkimpy accept; canonical forms agree with slow ones that follow the RFC by the word."""

import base64
import re
from datetime import UTC, datetime

import dkim as dkimpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outrider.mail import address, build, dkim, dkim_verify
from outrider.mail.dkim_verify import Result
from tests.unit.mail.keys import ed25519_key, find_record, rsa_key, sign

AT = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
SENDER = address.parse("noreply@shop.example")
TO = address.parse("user@partner.example")
PIECES = st.sampled_from(
    [b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"b", b"  ", b"\r\n\r\n", b" \r\n", b"\x0b", b"\xa0"]
)
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(b"".join))
VALUES = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs", "Zl", "Zp"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e<@\u2066\u2067\u2068\u2069",
    ),
    max_size=60,
)


def ask(name: bytes, timeout: int = 5) -> bytes | None:
    selector, _, domain = name.decode().rstrip(".").partition("._domainkey.")
    record = find_record(domain, selector)
    return record.encode() if record else None


def relaxed_by_the_word(body: bytes) -> bytes:
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")[:-1]]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def simple_by_the_word(body: bytes) -> bytes:
    while body.endswith(b"\r\n"):
        body = body[:-2]
    return body + b"\r\n"


@given(BODIES)
@example(b"\n\r\n\r\n")
@example(b"a\r\n \r\n\t")
def test_a_body_in_relaxed_form_is_what_the_rfc_says(body: bytes) -> None:
    assert dkim.canonical_body(body) == relaxed_by_the_word(body)


@given(BODIES)
def test_the_end_of_the_content_is_what_the_rfc_says(body: bytes) -> None:
    assert body[: dkim.end_of_content(body)] + b"\r\n" == simple_by_the_word(body)


@given(VALUES, VALUES, st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.none() | st.just("<p>ü</p>"))
@settings(max_examples=50)
def test_what_we_compose_and_sign_is_accepted_by_us_and_by_dkimpy(
    subject: str, name: str, text: str, html: str | None
) -> None:
    draft = build.compose(sender=SENDER, from_name=name, subject=subject, text=text, html=html, date=AT)
    late = draft.fields_for(TO, "a1@shop.example")
    prepared = dkim.prepare(draft.fields, dkim.body_hash(draft.body), [rsa_key(), ed25519_key()])
    message = b"".join([prepared.sign(late, AT), *late, *draft.fields, b"\r\n", draft.body])
    found = dkim_verify.verify(message, find_record)
    assert [one.result for one in found] == [Result.PASS, Result.PASS]
    verifier = dkimpy.DKIM(message)
    assert verifier.verify(0, dnsfunc=ask)
    assert verifier.verify(1, dnsfunc=ask)


@given(BODIES, st.sampled_from([b"simple", b"relaxed"]), st.sampled_from([b"simple", b"relaxed"]))
@settings(max_examples=50)
def test_what_dkimpy_signs_is_accepted_by_us(body: bytes, header_form: bytes, body_form: bytes) -> None:
    body = re.sub(rb"\r\n|\r|\n", b"\r\n", body) + b"\r\n"  # It takes bare line ends for CRLF.
    message = b"From: a@shop.example\r\nSubject:  x \r\n\ty\r\n\r\n" + body
    pem = base64.b64encode(bytes(range(32)))
    signature = dkimpy.sign(
        message,
        b"e1",
        b"shop.example",
        pem,
        signature_algorithm=b"ed25519-sha256",
        canonicalize=(header_form, body_form),
    )
    (found,) = dkim_verify.verify(signature + message, find_record)
    assert found.result == Result.PASS


def squeezed(octets: bytes) -> bytes:
    return re.sub(rb"\s", b"", octets).lower()


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_no_change_but_to_white_space_and_case_keeps_a_signature(place: int, change: bytes) -> None:
    fields = [b"From: a@shop.example\r\n", b"To: b@x.example\r\n", b"Subject: s  t\r\n", b"Date: d\r\n"]
    body = b"Hello  you\r\nand you\r\n"
    message = b"".join([sign(fields, body, [ed25519_key()], AT), *fields, b"\r\n", body])
    place %= len(message)
    changed = message[:place] + change + message[place + len(change) :]
    if [one.result for one in dkim_verify.verify(changed, find_record)] == [Result.PASS]:
        before, _, rest = squeezed(message).partition(b";b=")  # Its base64 has bits that say nothing.
        assert squeezed(changed).startswith(before)
        assert squeezed(changed).endswith(rest[rest.index(b"from:") :])


@given(
    st.lists(
        st.sampled_from(
            [
                b"v=1",
                b"a=rsa-sha256",
                b"b=",
                b"bh=",
                b"d=shop.example",
                b"s=r1",
                b"h=from",
                b"c=",
                b"l=1",
                b"x=1",
                b"=",
                b"\xff",
                b" ",
                b"\r\n ",
                b"t=0",
                b"i=@",
                b"q=",
            ]
        )
    ),
    BODIES,
)
def test_no_signature_however_odd_raises(tags: list[bytes], rest: bytes) -> None:
    for one in dkim_verify.verify(b"DKIM-Signature:" + b";".join(tags) + b"\r\n" + rest, find_record):
        assert one.result != Result.PASS
        assert one.reason
        (one.domain + one.selector + one.algorithm).encode()


@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["v=DKIM1", "k=rsa", "k=ed25519", "p=", "p=AAAA", "h=", "s=", "t=s", "=", ";", " "])
    ).map(";".join)
)
def test_no_record_however_odd_raises_or_proves(record: str) -> None:
    fields = [b"From: a@shop.example\r\n"]
    for key in (rsa_key(), ed25519_key()):
        message = sign(fields, b"", [key], AT) + fields[0] + b"\r\n"
        (found,) = dkim_verify.verify(message, lambda *_: record)
        assert found.result == Result.PERMERROR


@given(st.binary(max_size=200))
def test_no_message_however_odd_raises(message: bytes) -> None:
    dkim_verify.verify(message, find_record)
