"""BIMI: the record that names a logo to show beside a domain's mail.

    record("https://shop.example/logo.svg", "") -> "v=BIMI1; l=https://shop.example/logo.svg"

What is behind the addresses (an SVG of the profile Tiny PS, a mark certificate) is not looked at here. Source:
draft-brand-indicators-for-message-identification §4.2 and §4.3 (read 2026-11): l= and a= are URIs by https; commas and
semicolons in them are escaped.
"""

from typing import Final
from urllib.parse import urlsplit

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.mail import address

VERSION: Final = "BIMI1"
HOST_PREFIX: Final = "default._bimi."  # Of the selector that counts where a mail names none.
_PARTING: Final = ",;"  # They part the tags of the record and the values of one.


def parse_url(text: str) -> str:
    """Return the address as it goes into the record; "" stays so.

    Raises:
        CallerError: it is no https URL of a host in DNS, is too long, or has a character that a record cannot hold.
    """
    if not text:
        return ""
    if len(text) > limits.BIMI_URL_CHARS_MAX:
        raise CallerError(f"A BIMI address has at most {limits.BIMI_URL_CHARS_MAX} characters.")
    if not (text.isascii() and text.isprintable()) or " " in text or any(char in text for char in _PARTING):
        raise CallerError("Escape what is not plain ASCII, and spaces, commas and semicolons: they are %20, %2C, %3B.")
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        has_extras = parts.username is not None or parts.port not in (None, 443) or bool(parts.fragment)
    except ValueError as error:
        raise CallerError("That is no URL.") from error
    if parts.scheme != "https" or has_extras or host.endswith("."):
        raise CallerError("Receivers fetch it by https alone: give a URL such as https://shop.example/logo.svg.")
    address.parse_domain(host)
    return text


def record(logo: str, certificate: str) -> str:
    """Return the TXT text; `certificate` "" leaves it out."""
    return f"v={VERSION}; l={logo}" + (f"; a={certificate}" if certificate else "")
