"""Who is calling, and whether it may: the one guard of every call under /v1.

Authorization: Bearer ACCESSKEY_ID.ACCESSKEY_SECRET
Authorization: Basic base64(ACCESSKEY_ID:ACCESSKEY_SECRET)
"""

from typing import Final

from outrider.base.errors import ForbiddenError, UnauthenticatedError
from outrider.base.vocab import KeyScope
from outrider.faces.api.dialects.basic import parse_basic
from outrider.faces.api.ports import Authenticate
from outrider.faces.api.v1.call import Call
from outrider.services.accounts import Caller

_TOKEN_BYTES_MAX: Final = 1024  # Ours: a key pair needs about 90.
ADVICE: Final = "Send the header `Authorization: Bearer ACCESSKEY_ID.ACCESSKEY_SECRET`."


class Entrance:
    """Lets calls in."""

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate: Final = authenticate

    async def admit(self, call: Call, scope: KeyScope) -> None:
        """Set the call's `caller`.

        Raises:
            UnauthenticatedError: no key, or none that counts.
            ForbiddenError: its key has not got the scope.
        """
        access_key_id, access_key_secret = parse_credentials(call.header(b"authorization"))
        project_id = await self._authenticate(access_key_id, access_key_secret)
        call.caller = Caller(project_id=project_id, access_key_id=access_key_id)
        if scope not in call.caller.scopes:
            raise ForbiddenError(f"This call needs a key with the scope {scope}.")


def parse_credentials(value: bytes) -> tuple[str, str]:
    """Return id and secret of an Authorization header.

    Raises:
        UnauthenticatedError: absent or malformed; says which.

    Source: RFC 6750 §2.1 (Bearer), RFC 7617 §2 (Basic).
    """
    if not value:
        raise UnauthenticatedError(f"There is no Authorization header. {ADVICE}")
    if value[:6].lower() == b"basic ":
        return parse_basic(value)
    token = value[7:].strip()
    access_key_id, _, access_key_secret = token.partition(b".")
    if value[:7].lower() != b"bearer " or len(token) > _TOKEN_BYTES_MAX or not (access_key_id and access_key_secret):
        raise UnauthenticatedError(f"The Authorization header holds no key. {ADVICE}")
    return access_key_id.decode("latin-1"), access_key_secret.decode("latin-1")
