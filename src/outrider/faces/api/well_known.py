"""/.well-known/mta-sts.txt: the MTA-STS policy of the return path whose web host is asked.

Open to all, as it must be. The Host header says whose policy: a proxy in front hands it on as it came, and has the
certificate for it, since senders ask by https alone (RFC 8461 §3.3). A host without a policy has no such page.
"""

from typing import Any, Final, Protocol

import litestar
from litestar import MediaType, Request, Response
from litestar.handlers import HTTPRouteHandler

from outrider.mail import sts_policy

_HEADERS: Final = {"cache-control": "max-age=60"}


class Policies(Protocol):
    """What to answer whom (`services.mta_sts.PolicyBook`)."""

    async def text_of(self, host: str) -> str:
        """Return the policy file of that host, "" for none. Raises StoreError."""


def routes(policies: Policies) -> list[HTTPRouteHandler]:
    """Return the route handlers."""

    @litestar.get(sts_policy.PATH)
    async def policy(request: Request[Any, Any, Any]) -> Response[str]:
        text = await policies.text_of(request.headers.get("host", ""))
        if not text:
            return Response("No policy.\r\n", status_code=404, media_type=MediaType.TEXT)
        return Response(text, media_type=MediaType.TEXT, headers=_HEADERS)

    return [policy]
