"""The MTA-STS policies of return paths, for the web host that serves them (`faces.api.well_known`).

Anybody may ask for any host, so nobody's question costs a query: all modes are kept, `FRESH_S` old at most. Only proven
domains have a policy: others might say what holds for a host of somebody else's.
"""

from collections.abc import Mapping
from typing import Final

from outrider.base.clock import Clock
from outrider.base.vocab import MtaSts
from outrider.mail import sts_policy
from outrider.store import domains
from outrider.store.pool import Store
from outrider.store.recent import Recent

FRESH_S: Final = 10.0  # Ours: senders keep a policy for a day at least.
_ALL: Final = ""  # The one key: everything is read at once.


class PolicyBook:
    """What to answer whom. One per process."""

    def __init__(self, store: Store, *, mx_host: str, clock: Clock) -> None:
        """`mx_host` takes the mail to return paths; "" knows none, and serves nothing."""
        self._store: Final = store
        self._mx_host: Final = mx_host
        self._modes: Final = Recent[str, Mapping[str, MtaSts]](self._read, clock=clock, fresh_s=FRESH_S)

    async def text_of(self, host: str) -> str:
        """Return the policy file that `host`, as a request names it, serves; "" for none. Raises StoreError."""
        name = sts_policy.name_of(host)
        if not name:
            return ""
        return sts_policy.compose((await self._modes.get(_ALL)).get(name, MtaSts.OFF), self._mx_host)

    async def _read(self, _: str) -> Mapping[str, MtaSts]:
        async with self._store.transaction() as tx:
            return await domains.mta_sts_modes(tx)
