"""Whom a certificate names, odd ones included."""

import ssl
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from outrider.net import certificate
from outrider.net.selfsigned import SelfSigned

SERIAL_AT = 15  # The first octet of the serial number: before it stand tags, lengths and the version.
DER = ssl.PEM_cert_to_DER_cert(SelfSigned("mx.partner.example").pem)


def test_the_common_name_is_the_name() -> None:
    assert certificate.name_of(DER) == "mx.partner.example"


def test_without_one_the_first_dns_name_is() -> None:
    named = ssl.PEM_cert_to_DER_cert(SelfSigned("mx.partner.example", has_common_name=False).pem)
    assert certificate.name_of(named) == "mx.partner.example"


def test_control_characters_are_gone() -> None:
    assert certificate.name_of(DER.replace(b"mx.partner", b"mx\r\n\x1b[2Jnn")) == "mx   [2Jnn.example"


@given(st.binary(max_size=400))
def test_what_is_no_certificate_has_no_name(octets: bytes) -> None:
    assert certificate.name_of(octets) == ""


@example([(SERIAL_AT, 0x80)])  # A number below 0, of which `cryptography` warns.
@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_broken_certificate_never_fails(changes: list[tuple[int, int]]) -> None:
    octets = bytearray(DER)
    for at, octet in changes:
        octets[at] = octet
    assert certificate.name_of(bytes(octets)).isprintable()


def test_the_terms_of_an_odd_certificate_are_read_in_silence() -> None:
    odd = bytearray(DER)
    odd[SERIAL_AT] = 0x80
    terms = certificate.terms_of(ssl.DER_cert_to_PEM_cert(bytes(odd)).encode())
    assert terms is not None
    assert terms.names == ("mx.partner.example",)


def test_the_terms_of_a_file_are_those_of_its_first_certificate() -> None:
    first, second = SelfSigned("mx.partner.example", until_year=2030).pem, SelfSigned("other.example").pem
    terms = certificate.terms_of((first + second).encode())
    assert terms == certificate.Terms(
        names=("mx.partner.example",),
        begins_at=datetime(2020, 1, 1, tzinfo=UTC),
        ends_at=datetime(2030, 1, 1, tzinfo=UTC),
        is_self_signed=True,
    )


@given(st.binary(max_size=400))
def test_a_file_without_a_certificate_has_no_terms(octets: bytes) -> None:
    assert certificate.terms_of(octets) is None
    assert certificate.terms_of(b"-----BEGIN CERTIFICATE-----\n" + octets + b"\n-----END CERTIFICATE-----\n") is None
