"""Signatures of webhook calls, as Standard Webhooks has them, so that any of its libraries verifies ours.

    webhook-id: 3f2-1a-5f3c...                      the same however often a call is tried
    webhook-timestamp: 1764288000                   Unix seconds of this attempt
    webhook-signature: v1,K5oZ... v1,ad8W...        one for each secret that counts, while one is replaced by another

A signature is HMAC-SHA256 over `id.timestamp.body`, in base64. A secret is written `whsec_` and base64 of 24 to 64
octets.
Source: standard-webhooks spec (spec/standard-webhooks.md), "Webhook headers", "Signature scheme".
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from outrider.base import limits
from outrider.base.errors import CallerError

PREFIX: Final = "whsec_"
TOKEN_HEADER: Final = "X-Webhook-Token"  # noqa: S105 - its name, no token. shared/uspeedo.md 6.
_VERSION: Final = "v1,"


def sign(secret: bytes, call_id: str, unix_s: int, body: bytes) -> str:
    """Return the signature with its version, such as `v1,K5oZ...`."""
    digest = hmac.digest(secret, b"%s.%d.%s" % (call_id.encode(), unix_s, body), hashlib.sha256)
    return _VERSION + base64.b64encode(digest).decode()


def headers(secrets: Sequence[bytes], call_id: str, unix_s: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a call that is signed with each of these secrets; at least one."""
    assert secrets
    return {
        "webhook-id": call_id,
        "webhook-timestamp": str(unix_s),
        "webhook-signature": " ".join([sign(one, call_id, unix_s, body) for one in secrets]),
    }


def secret_text(secret: bytes) -> str:
    """Return a secret as people are given it."""
    return PREFIX + base64.b64encode(secret).decode()


def parse_secret(text: str) -> bytes:
    """Return the secret of such a text.

    Raises:
        CallerError: it is none, too short or too long; `field` is "secret".
    """
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        secret = b""
    least, most = limits.WEBHOOK_SECRET_BYTES_MIN, limits.WEBHOOK_SECRET_BYTES_MAX
    if not text.startswith(PREFIX) or not least <= len(secret) <= most:
        raise CallerError(f"A secret is {PREFIX} and {least} to {most} octets in base64.", field="secret")
    return secret
