"""Who is calling, whether it may, and how often: the one guard of every call under /v1.

Pairs and tokens as `faces.api.credentials` reads them; the signed calls of uSpeedo's clients are for uSpeedo's paths
alone. How much of a key's rate is left goes out with every answer, a refusal too (`faces.api.rate`).
"""

from typing import Final

from outrider.base.errors import UnauthenticatedError
from outrider.base.vocab import KeyScope
from outrider.faces.api import credentials, rate
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.call import Call
from outrider.services.access import ADVICE


class Entrance:
    """Lets calls in."""

    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def admit(self, call: Call, scope: KeyScope | None) -> None:
        """Set the call's `caller`, and the headers that say what is left of its rate. None: any scope will do.

        Raises:
            UnauthenticatedError: no key, or none that counts.
            ForbiddenError: its key has not got the scope, or may not be used from there.
            LimitReachedError: its key has had its calls of this minute.
        """
        peer = call.scope["client"]
        shown = credentials.read(call.scope["headers"], peer[0] if peer else "", self._ports.trusted_proxies)
        if shown.needs_body:
            raise UnauthenticatedError(f"Signed calls are for uSpeedo's paths. {ADVICE}")
        call.caller = await self._ports.authenticate(shown)
        call.credentials = shown
        rate.spend(self._ports.spend, call.caller, call.answer_headers)
        if scope is not None:
            call.caller.require(scope)
