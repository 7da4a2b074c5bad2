"""HTTP Basic credentials (RFC 7617): from the Authorization header to user-id and password."""

import binascii
import re
from typing import Final

from outrider.base.errors import UnauthenticatedError

_HEADER_BYTES_MAX: Final = 1024  # Ours: a key pair needs about 120.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
ADVICE: Final = "Send the header `Authorization: Basic base64(ACCESSKEY_ID:ACCESSKEY_SECRET)`."


def parse_basic(value: bytes) -> tuple[str, str]:
    """Return user-id and password of an Authorization header; `value` is b"" without one.

    Raises:
        UnauthenticatedError: absent or malformed; says which.

    Source: RFC 7617 §2 (the scheme's name in any case; no colon in a user-id; no control characters).
    """
    scheme, _, token = value.partition(b" ")
    if not value:
        raise UnauthenticatedError(f"There is no Authorization header. {ADVICE}")
    if scheme.lower() != b"basic" or len(value) > _HEADER_BYTES_MAX:
        raise UnauthenticatedError(f"The Authorization header is not of the Basic kind. {ADVICE}")
    try:
        decoded = binascii.a2b_base64(token.strip(), strict_mode=True).decode("utf-8")
    except ValueError:
        raise UnauthenticatedError(f"The Authorization header is not base64 of UTF-8 text. {ADVICE}") from None
    user_id, colon, password = decoded.partition(":")
    if not colon or not user_id or not password or _CONTROL.search(decoded):
        raise UnauthenticatedError(f"The Authorization header holds no key pair. {ADVICE}")
    return user_id, password
