"""Header fields: folded, encoded, and never more than one from one value."""

import email
import email.header
import email.policy
import email.utils
from typing import Any

import pytest

from outrider.base.errors import CallerError
from outrider.mail import address, headers

SENDER = address.parse("noreply@shop.example")
CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\ud800", "\udfff"]


def read(field: bytes) -> Any:
    """Parse one field with the standard library and return its value."""
    message = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)
    ((_, value),) = message.items()
    assert not value.defects
    return value


def read_mailbox(field: bytes) -> tuple[str, str]:
    """Parse a field of one mailbox; the newer parser of the library puts spaces between encoded words in names."""
    unfolded = field.removesuffix(b"\r\n").replace(b"\r\n", b"").decode().partition(": ")[2]
    name, found = email.utils.parseaddr(unfolded)
    return str(email.header.make_header(email.header.decode_header(name))), found


def lines_of(field: bytes) -> list[bytes]:
    assert field.endswith(b"\r\n")
    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    return lines


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_no_control_character_gets_into_any_field(control: str) -> None:
    value = f"a{control}Bcc: victim@x.example"
    writers: list[Any] = [
        lambda: headers.check_value(value, field="field"),
        lambda: headers.check_display_name(value, field="field"),
        lambda: headers.unstructured("Subject", value, field="field"),
        lambda: headers.mailbox("From", value, SENDER, field="field"),
    ]
    for write in writers:
        with pytest.raises(CallerError) as caught:
            write()
        assert caught.value.field == "field"
        assert value not in caught.value.public


@pytest.mark.parametrize("name", ["", "A B", "A:B", "Subject:", "A\r\nB", "A\n", "Ü", "\0", "A" * 77])
def test_a_field_name_is_plain_ascii(name: str) -> None:
    with pytest.raises(CallerError):
        headers.unstructured(name, "x")
    with pytest.raises(CallerError):
        headers.mailbox(name, "x", SENDER)


@pytest.mark.parametrize(
    "value", ["plain", "tübe", "a@b, c; \"d\" 'e' <f> \\", "soft\u00adhyphen", "日本語", "👩‍👩‍👧", ""]
)
def test_what_is_no_control_character_passes(value: str) -> None:
    headers.check_value(value, field="Subject")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("Your Order", b"Subject: Your Order\r\n"),
        ("", b"Subject:\r\n"),
        ("  x ", b"Subject: x\r\n"),
        ("Prüfen Sie Ihre Bestellung", b"Subject: =?utf-8?q?Pr=C3=BCfen_Sie_Ihre_Bestellung?=\r\n"),
        ("注文", b"Subject: =?utf-8?b?5rOo5paH?=\r\n"),
        ("=?utf-8?q?x?=", b"Subject: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\r\n"),
    ],
)
def test_a_subject_is_written(value: str, field: bytes) -> None:
    assert headers.unstructured("Subject", value) == field
    assert read(field) == value.strip()


@pytest.mark.parametrize(
    "value",
    [
        "word " * 39 + "end",
        "two  spaces   between " * 10 + "end",
        "x" * 200,
        "short " + "x" * 200,
        "x" * 80 + " short",
        "größe " * 33 + "end",
        "ü" * 200,
        "日本" * 100,
        "👩‍👩‍👧" * 40,
        "a" + "e\u0301" * 90,
        " ".join("x" * n for n in range(60, 90)),
    ],
)
def test_a_long_subject_is_folded_where_it_can_be(value: str) -> None:
    field = headers.unstructured("Subject", value)
    longest_word = max(map(len, value.split(" "))) if value.isascii() else 0
    for line in lines_of(field):
        assert len(line) <= max(78, longest_word + len("Subject: "))
        assert len(line) <= 76 or b"=?" not in line
        for word in line.split():
            assert len(word) <= 75 or not word.startswith(b"=?")
            if word.startswith(b"=?"):
                email.header.decode_header(word.decode())[0][0].decode("utf-8")  # Each word has whole characters.
    assert read(field) == value


@pytest.mark.parametrize("value", ["x" * 2000, "x" * 990, "a " + "y" * 5000 + " b", "a" + " " * 3000 + "b"])
def test_what_cannot_be_folded_under_998_bytes_is_encoded(value: str) -> None:
    field = headers.unstructured("Subject", value)
    assert all(len(line) <= 76 for line in lines_of(field))
    assert read(field) == value


def test_a_word_of_up_to_998_bytes_with_its_name_stays_as_it_is() -> None:
    value = "x" * (998 - len("Subject: "))
    assert headers.unstructured("Subject", value) == f"Subject: {value}\r\n".encode()


def test_a_long_field_name_leaves_room_for_encoded_words() -> None:
    field = headers.unstructured("X-" + "N" * 74, "größe " * 20)
    assert all(len(line) <= 998 for line in lines_of(field))
    assert read(field) == ("größe " * 20).strip()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("", b"From: noreply@shop.example\r\n"),
        ("  ", b"From: noreply@shop.example\r\n"),
        ("Example Shop", b"From: Example Shop <noreply@shop.example>\r\n"),
        ("Shop, Inc.", b'From: "Shop, Inc." <noreply@shop.example>\r\n'),
        ('The "Best" \\ Shop', b'From: "The \\"Best\\" \\\\ Shop" <noreply@shop.example>\r\n'),
        ("ceo@bank.example", b'From: "ceo@bank.example" <noreply@shop.example>\r\n'),
        ("a <b> (c); d: e", b'From: "a <b> (c); d: e" <noreply@shop.example>\r\n'),
        ("Jörg Shop", b"From: =?utf-8?q?J=C3=B6rg_Shop?= <noreply@shop.example>\r\n"),
        ('Jörg", <x>', b"From: =?utf-8?b?SsO2cmciLCA8eD4=?= <noreply@shop.example>\r\n"),
        ("=?utf-8?q?x?=", b"From: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <noreply@shop.example>\r\n"),
    ],
)
def test_a_display_name_is_read_back_as_it_was_given(name: str, field: bytes) -> None:
    assert headers.mailbox("From", name, SENDER) == field
    (found,) = read(field).addresses
    assert (found.display_name, found.addr_spec) == (name.strip(), "noreply@shop.example")
    assert read_mailbox(field) == (name.strip(), "noreply@shop.example")


@pytest.mark.parametrize(
    "name", ["word " * 50 + "end", '"quoted", ' * 30 + "end", "Jörg " * 40 + "end", "x" * 1500, "a  b"]
)
def test_a_long_display_name_is_folded(name: str) -> None:
    field = headers.mailbox("From", name, SENDER)
    assert all(len(line) <= 78 for line in lines_of(field))
    assert read_mailbox(field) == (name, "noreply@shop.example")
    assert [found.addr_spec for found in read(field).addresses] == ["noreply@shop.example"]


@pytest.mark.parametrize("char", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_a_display_name_may_not_turn_the_direction_of_text(char: str) -> None:
    with pytest.raises(CallerError, match="direction") as caught:
        headers.mailbox("From", f"Shop {char}moc.knab", SENDER, field="FromName")
    assert caught.value.field == "FromName"


@pytest.mark.parametrize("name", ["Bank <ceo@bank.example>", 'x" <ceo@bank.example>, "y', "<@>"])
def test_a_display_name_may_not_pretend_another_address(name: str) -> None:
    with pytest.raises(CallerError, match="angle brackets"):
        headers.check_display_name(name, field="FromName")


def test_an_address_that_is_not_ascii_is_written_in_utf_8() -> None:
    to = address.parse("jörg@bücher.example")
    assert headers.mailbox("From", "Jörg Shop", to) == (
        "From: =?utf-8?q?J=C3=B6rg_Shop?= <jörg@xn--bcher-kva.example>\r\n".encode()
    )


@pytest.mark.parametrize("value", ["a@shop.example", "0192f3b0.c1d2@shop.example", "a$b+c@shop.example"])
def test_a_message_id_is_written(value: str) -> None:
    assert headers.message_id(value) == f"Message-ID: <{value}>\r\n".encode()


@pytest.mark.parametrize(
    "value",
    ["", "a", "@b", "a@", "a b@c", "<a@b.example>", "a@b\r\nX: y", "a@b\n", "a@b@c", "ü@b", "a..b@c", "a@" + "b" * 300],
)
def test_what_is_no_message_id_is_refused(value: str) -> None:
    with pytest.raises(CallerError) as caught:
        headers.message_id(value)
    assert caught.value.field == "Message-ID"
