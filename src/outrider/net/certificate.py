"""What a certificate says: for people who read an attempt or a check-up, not for trust. Checking is `ssl`'s.

Receivers' certificates are of every kind, self-made ones and broken ones among them; what cannot be read has no name.
What `cryptography` warns of in one (a serial number that is not positive, say) is its maker's business, not ours: no
caller hears it.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

_NAME_CHARS_MAX: Final = 255  # A host name's; longer ones are cut.
_ODD: Final = (  # What `cryptography` says about certificates that are none, or are strange.
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a certificate is for, and until when."""

    names: tuple[str, ...]  # DNS names; without any, the common name.
    begins_at: datetime
    ends_at: datetime
    is_self_signed: bool


def terms_of(pem: bytes) -> Terms | None:
    """Return the terms of the first certificate in a PEM file, None if there is none or it cannot be read."""
    try:
        with _in_silence():
            return _terms(x509.load_pem_x509_certificates(pem)[0])
    except _ODD:
        return None


def _terms(certificate: x509.Certificate) -> Terms:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(extension.value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        names = ()
    return Terms(
        names=names or tuple(_common_names(certificate)),
        begins_at=certificate.not_valid_before_utc,
        ends_at=certificate.not_valid_after_utc,
        is_self_signed=certificate.issuer == certificate.subject,
    )


def name_of(der: bytes) -> str:
    """Return the subject's common name, else its first DNS name; "" if it has neither or cannot be read.

    Cost: 60 us, once a connection (2026-11).
    """
    try:
        with _in_silence():
            certificate = x509.load_der_x509_certificate(der)
            names = _common_names(certificate)
            if not names:
                extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
                names = extension.value.get_values_for_type(x509.DNSName)
    except (*_ODD, x509.ExtensionNotFound):
        return ""
    name = names[0][:_NAME_CHARS_MAX] if names else ""
    return "".join(char if char.isprintable() else " " for char in name)


def _common_names(certificate: x509.Certificate) -> list[str]:
    return [str(found.value) for found in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]


@contextmanager
def _in_silence() -> Iterator[None]:
    """Drop warnings; `cryptography`'s are `UserWarning`s. Filters are the process's: of two threads one may lose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
