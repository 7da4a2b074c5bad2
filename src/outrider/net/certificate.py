"""Whom a certificate names: for people who read an attempt, not for trust. Checking is `ssl`'s.

Receivers' certificates are of every kind, self-made ones and broken ones among them; what cannot be read has no name.
"""

from typing import Final

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


def name_of(der: bytes) -> str:
    """Return the subject's common name, else its first DNS name; "" if it has neither or cannot be read.

    Cost: 60 us, once a connection (2026-11).
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = [str(found.value) for found in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        if not names:
            extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = extension.value.get_values_for_type(x509.DNSName)
    except (*_ODD, x509.ExtensionNotFound):
        return ""
    name = names[0][:_NAME_CHARS_MAX] if names else ""
    return "".join(char if char.isprintable() else " " for char in name)
