"""Which pool carries whose mail (`engine.accept.PoolBook`): the rules of [egress], asked with the project's name.

The name is looked up only where a rule may need it, and remembered for a moment.
"""

from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import NotFoundError
from outrider.base.vocab import Stream
from outrider.policy.route import Egress
from outrider.store import projects
from outrider.store.pool import Store
from outrider.store.recent import Recent

_FRESH_S: Final = 0.5  # As keys and senders.


class PoolChooser:
    """Chooses pools by this node's settings."""

    def __init__(self, store: Store, egress: Egress, *, clock: Clock) -> None:
        self._store: Final = store
        self._egress: Final = egress
        self._names: Final = Recent[UUID, str](self._read_name, clock=clock, fresh_s=_FRESH_S)

    async def pool_for(self, project_id: UUID, stream: Stream, sender_domain: str, *, asked: str = "") -> str:
        """Return the pool that carries such mail.

        Raises:
            NotFoundError: field "pool": the project has no pool of the name `asked` for.
            StoreError: the project's name could not be read.
        """
        if not self._egress.assignments and not asked:
            return self._egress.pool_for(stream, (), sender_domain)
        names = (str(project_id), await self._names.get(project_id))
        if asked and not self._egress.may_use(asked, names):
            raise NotFoundError("There is no pool of that name for this project.", field="pool")
        return asked or self._egress.pool_for(stream, names, sender_domain)

    async def _read_name(self, project_id: UUID) -> str:
        async with self._store.transaction() as tx:
            return await projects.name_of(tx, project_id) or ""
