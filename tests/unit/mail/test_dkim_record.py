"""Key records as DNS has them, and how they differ from ours."""

import base64
import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from outrider.mail import dkim, dkim_record
from outrider.mail.dkim_record import Difference, DkimRecord, DkimRecordError, Match
from tests.unit.mail.keys import ed25519_key, rsa_key

RSA = dkim.public_record(rsa_key())
ED = dkim.public_record(ed25519_key())
KEY = dkim_record.parse(RSA).key or ""


def test_what_we_publish_is_read_and_loaded() -> None:
    for text, kind in ((RSA, "rsa"), (ED, "ed25519")):
        record = dkim_record.parse(text)
        assert record.kind == kind
        assert dkim_record.load(record) is not None


def test_defaults_and_marks() -> None:
    assert dkim_record.parse("p=AA AA") == DkimRecord("rsa", "AAAA")
    marked = dkim_record.parse("v=DKIM1; h=sha1:sha256; s=email; t=y:s; p=")
    assert (marked.hashes, marked.services, marked.is_testing, marked.is_strict) == (
        ("sha1", "sha256"),
        ("email",),
        True,
        True,
    )
    assert marked.key == ""
    assert dkim_record.parse("v=DKIM1").key is None


@pytest.mark.parametrize("text", ["", "v=DKIM2; p=AA", "p=AA; v=DKIM1"])
def test_what_is_no_key_record(text: str) -> None:
    if text:
        with pytest.raises(DkimRecordError, match="DKIM1"):
            dkim_record.parse(text)
    else:
        with pytest.raises(DkimRecordError, match="no p="):
            dkim_record.load(dkim_record.parse(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p=", "revoked"),
        ("v=DKIM1", "no p="),
        ("p=!!", "not base64"),
        ("p=ü", "not base64"),
        ("p=AAAA", "cannot be read"),
        ("k=ed25519; p=AAAA", "cannot be read"),
        ("h=sha1; p=AAAA", "SHA-256"),
        ("s=web; p=AAAA", "not for mail"),
    ],
)
def test_what_proves_no_signature(text: str, words: str) -> None:
    with pytest.raises(DkimRecordError, match=words):
        dkim_record.load(dkim_record.parse(text))


def test_a_short_key_and_a_key_of_another_kind_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for private, words in (
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), ""),
        (ec.generate_private_key(ec.SECP256R1()), "another kind"),
    ):
        der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        record = DkimRecord("rsa", base64.b64encode(der).decode())
        if words:
            with pytest.raises(DkimRecordError, match=words):
                dkim_record.load(record)
        else:
            assert dkim_record.load(record) is not None


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (KEY, Difference(Match.EQUAL)),
        (KEY[:50] + " \n" + KEY[50:], Difference(Match.EQUAL)),
        (KEY[:100], Difference(Match.CUT, 101, KEY[100:116])),
        (KEY[100:], Difference(Match.CUT)),
        (KEY[:60] + KEY[120:], Difference(Match.CUT)),
        (KEY[:9] + "!" + KEY[10:], Difference(Match.NEAR, 10, KEY[9], "!")),
        (KEY[:-1], Difference(Match.NEAR, len(KEY), KEY[-1])),
        (KEY + "x", Difference(Match.NEAR, len(KEY) + 1, "", "x")),
        ("x" * 400, Difference(Match.OTHER, 1, KEY[:16], "x" * 16)),
        ("", Difference(Match.OTHER, 1, KEY[:16])),
        ("MIG", Difference(Match.OTHER)),
    ],
    ids=range(11),  # Not the keys: they are new each time, and workers must agree on names.
)
def test_where_two_keys_part(found: str, difference: Difference) -> None:
    seen = dkim_record.difference(KEY, found)
    assert seen.match is difference.match
    if difference.at and difference.match is not Match.CUT:
        assert seen == difference


@given(st.integers(0, len(KEY)), st.integers(16, len(KEY)))
def test_any_piece_left_out_is_a_cut(start: int, count: int) -> None:
    found = KEY[:start] + KEY[start + count :]
    assume(16 <= len(found) <= len(KEY) - 16)
    assert dkim_record.difference(KEY, found).match is Match.CUT


@given(st.integers(0, len(KEY) - 1), st.characters(codec="ascii", categories=["L", "N", "P"]))
def test_one_character_off_is_near(at: int, char: str) -> None:
    found = KEY[:at] + char + KEY[at + 1 :]
    assume(char != KEY[at])
    assert dkim_record.difference(KEY, found).match is Match.NEAR


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_two_texts_compare(wanted: str, found: str) -> None:
    seen = dkim_record.difference(wanted, found)
    assert (seen.match is Match.EQUAL) == (seen.at == 0)


@given(st.text(max_size=100) | st.text(max_size=100).map("v=DKIM1; p={}".format))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(DkimRecordError):
        assert dkim_record.load(dkim_record.parse(text)) is not None
