"""What is an address and what is refused, with the reason people are told."""

import pytest

from outrider.base.errors import CallerError
from outrider.mail import address
from outrider.mail.address import Address


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("user@partner.example", "user", "partner.example"),
        ("First.Last+tag@Mail.Partner.Example", "First.Last+tag", "mail.partner.example"),
        ("!#$%&'*+-/=?^_`{|}~@x.example", "!#$%&'*+-/=?^_`{|}~", "x.example"),
        ("user%host@relay.example", "user%host", "relay.example"),  # The percent hack is a local part like others.
        ("1@2.example", "1", "2.example"),
        ("a@b-c.example", "a", "b-c.example"),
        ("a@ab--cd.example", "a", "ab--cd.example"),
        ("a@x.xn--p1ai", "a", "x.xn--p1ai"),
        ("a@bücher.example", "a", "xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a", "xn--bcher-kva.example"),
        ("a@XN--BCHER-KVA.example", "a", "xn--bcher-kva.example"),
        ("a@bücher。example", "a", "xn--bcher-kva.example"),  # Ideographic full stop, UTS #46.
        ("a@faß.example", "a", "xn--fa-hia.example"),  # Not transitional: not "fass".
        ("jörg@bücher.example", "jörg", "xn--bcher-kva.example"),
        ("用户@例え.example", "用户", "xn--r8jz45g.example"),
        ("cafe\u0301@x.example", "caf\u00e9", "x.example"),  # NFC.
        ('"john doe"@x.example', '"john doe"', "x.example"),
        ('"a@b"@x.example', '"a@b"', "x.example"),
        (r'"q\"\\"@x.example', r'"q\"\\"', "x.example"),
        (r'"\j\o"@x.example', "jo", "x.example"),  # Quotes that are not needed are dropped.
        ('"a.b"@x.example', "a.b", "x.example"),
        ('"a..b"@x.example', '"a..b"', "x.example"),
    ],
)
def test_an_address_is_read(text: str, local: str, domain: str) -> None:
    found = address.parse(text)
    assert found == Address(local, domain)
    assert address.parse(found.text) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("user", "no @"),
        ("user.partner.example", "no @"),
        ("a@b@c.example", "more than one @"),
        ("a@@c.example", "more than one @"),
        ("Name <a@b.example>", "angle brackets"),
        ('"Name" <a@b.example>', "angle brackets"),
        ("<a@b.example>", "angle brackets"),
        ("a@b.example,c@d.example", "more than one address"),
        ("a@b.example;c@d.example", "more than one address"),
        ("@relay.example:a@b.example", "source route"),
        ("@b.example", "nothing before the @"),
        ('""@b.example', "nothing before the @"),
        ("a@", "no domain"),
        ("a b@c.example", "space"),
        ("a@b c.example", "space"),
        (" a@b.example", "space"),
        ("a@b.example ", "space"),
        (".a@b.example", "dot at the wrong place before"),
        ("a.@b.example", "dot at the wrong place before"),
        ("a..b@c.example", "dot at the wrong place before"),
        ("a(comment)@b.example", "not allowed before the @"),
        ('a"b"@c.example', "not allowed before the @"),
        ('"a"b@c.example', "wrong quotes"),
        ('"a@b.example', "wrong quotes"),
        ("a@[127.0.0.1]", "address literal"),
        ("a@[IPv6:::1]", "address literal"),
        ("a@1.2.3.4", "ends in a number"),
        ("a@localhost", "no dot in the domain"),
        ("a@b_c.example", "underscore"),
        ("a@-b.example", "hyphen"),
        ("a@b-.example", "hyphen"),
        ("a@b$.example", "not allowed in a domain"),
        ("a@.b.example", "dot at the wrong place in"),
        ("a@b..example", "dot at the wrong place in"),
        ("a@b.example.", "dot at the wrong place in"),
        ("a@xn--a.example", "IDNA"),
        ("a@\u2488com.example", "IDNA"),
        ("a" * 65 + "@b.example", "more than 64 bytes"),
        ("ü" * 33 + "@b.example", "more than 64 bytes"),
        ("a@" + "b" * 64 + ".example", "more than 63 bytes"),
        ("a@" + "b." * 130 + "example", "too long"),
        ("a" * 60 + "@" + ("b" * 62 + ".") * 3 + "example", "too long"),
        ("a" * 2000, "too long"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(CallerError) as caught:
        address.parse(text)
    assert reason in caught.value.public
    assert len(caught.value.public) < 80


@pytest.mark.parametrize(
    "char", ["\r", "\n", "\r\n", "\0", "\t", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\ud800"]
)
@pytest.mark.parametrize(
    "shape", ["{}a@b.example", "a{}@b.example", "a@b{}.example", "a@b.example{}", '"a{}"@b.example']
)
def test_invisible_characters_are_refused_wherever_they_are(shape: str, char: str) -> None:
    with pytest.raises(CallerError, match="invisible"):
        address.parse(shape.format(char))


def test_the_longest_address_is_taken() -> None:
    domain = f"{'b' * 63}.{'c' * 63}.{'d' * 53}.example"
    text = f"{'a' * 64}@{domain}"
    assert len(text) == 254
    assert address.parse(text).domain == domain


def test_the_key_is_the_same_for_the_same_mailbox() -> None:
    spellings = ["Joe@Shop.example", "joe@shop.EXAMPLE", '"JOE"@shop.example']
    assert {address.parse(text).key for text in spellings} == {"joe@shop.example"}
    assert address.parse("jo@shop.example").key != "joe@shop.example"


def test_only_a_local_part_that_is_not_ascii_needs_smtputf8() -> None:
    assert address.parse("jörg@x.example").needs_smtputf8
    assert not address.parse("joerg@bücher.example").needs_smtputf8


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Shop.Example", "shop.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("a.b.c.example", "a.b.c.example"),
        ("mail.brand.example.", "mail.brand.example"),
        ("bücher.example.", "xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_read(text: str, name: str) -> None:
    assert address.parse_domain(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "example", "a..example", "a@b.example", "a b.example", "a_b.example", "a.b\n", "1.2", ".", "a.b.."],
)
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(CallerError, match="Not a domain name") as caught:
        address.parse_domain(text)
    assert caught.value.field == "domain"
