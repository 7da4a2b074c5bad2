"""Partials: pieces that the templates of a project include. A version holds a copy of those it was made with.

So a partial that changes changes nothing that is published, until somebody says so (`republish`). One that a template
needs cannot be removed. Names are as `{% include "footer.html" %}` has them.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, ConflictError, NotFoundError
from outrider.base.vocab import TemplateState
from outrider.services.templates import versions
from outrider.services.templates.versions import Compiler
from outrider.store import projects, templates
from outrider.store.pool import Store
from outrider.store.templates import Partial, StoredTemplate

__all__ = ["Partial", "Partials", "Republished"]  # With the record a caller meets.


class Republished(msgspec.Struct, frozen=True):
    """What became of one template when a partial in it was taken over anew."""

    template_id: str
    name: str
    number: int | None  # The new version; None: it could not be made.
    why: str = ""  # And why not.


class Partials:
    """The partials of all projects."""

    def __init__(self, store: Store, compiler: Compiler, *, clock: Clock) -> None:
        self._store: Final = store
        self._compiler: Final = compiler
        self._clock: Final = clock

    async def put(self, project_id: UUID, name: str, source: str) -> Partial:
        """Store a partial, in place of the one of that name. What is published has it when that is published again.

        Raises:
            CallerError: a name that is none; too long; or the project has as many as it may.
        """
        if not versions.is_partial_name(name):
            raise CallerError("A partial's name is letters, digits and . _ -, 1 to 100 of them.", field="name")
        versions.check_unicode(source, field="source")
        if len(source.encode()) > limits.PARTIAL_BYTES_MAX:
            raise CallerError(f"A partial has at most {limits.PARTIAL_BYTES_MAX // 1024} KiB.", field="source")
        async with self._store.transaction() as tx:
            await projects.lock(tx, project_id)
            if await templates.other_partials_count(tx, project_id, name) >= limits.PARTIALS_STORED_COUNT_MAX:
                raise CallerError(f"A project has at most {limits.PARTIALS_STORED_COUNT_MAX} partials.", field="name")
            partial = Partial(name, source, self._clock.now())
            await templates.put_partial(tx, project_id, partial)
        return partial

    async def show(self, project_id: UUID, name: str) -> Partial:
        """Return the project's partial. Raises NotFoundError."""
        found = None
        if versions.is_partial_name(name):
            async with self._store.transaction() as tx:
                found = await templates.partial(tx, project_id, name)
        if found is None:
            raise NotFoundError("The project has no such partial.", field="name")
        return found

    async def list(self, project_id: UUID, *, after: str = "", count_max: int | None = None) -> Sequence[Partial]:
        """Return the project's partials, by name, behind that name; all, or so many. Raises CallerError: no name."""
        versions.check_unicode(after, field="after")
        async with self._store.transaction() as tx:
            return await templates.partials(tx, project_id, after=after, count_max=count_max)

    async def remove(self, project_id: UUID, name: str) -> None:
        """Forget a partial that no template needs. Raises NotFoundError; ConflictError: names those that do."""
        await self.show(project_id, name)
        users = await self.users(project_id, name)
        if users:
            named = ", ".join(one.name for one in users[:3]) + (" and others" if len(users) > 3 else "")
            raise ConflictError(f"It is used by {named}.", field="name")
        async with self._store.transaction() as tx:
            await templates.remove_partial(tx, project_id, name)

    async def users(self, project_id: UUID, name: str) -> Sequence[StoredTemplate]:
        """Return the templates with the partial in what is sent, waits for approval, or is being edited."""
        async with self._store.transaction() as tx:
            return await templates.users_of_partial(tx, project_id, name)

    async def republish(self, project_id: UUID, name: str) -> Sequence[Republished]:
        """Take the partial over, as it is now, into what is published of the templates that use it.

        Each gets a new version and is published on its own, or waits for approval; not in place of another that waits:
        nobody would look at that one any more. Raises NotFoundError.
        """
        await self.show(project_id, name)
        done: list[Republished] = []
        for template in await self.users(project_id, name):
            if template.published_number is None or template.state is TemplateState.DISABLED:
                continue
            try:
                number = await self._republish(template, template.published_number)
                done.append(Republished(template.template_id, template.name, number))
            except CallerError as error:
                done.append(Republished(template.template_id, template.name, None, error.public))
        return done

    async def _republish(self, before: StoredTemplate, published: int) -> int:
        project_id, template_id = before.project_id, before.template_id
        async with self._store.transaction() as tx:
            details = await versions.details_of(tx, before, published)
        compiled = await self._compiler.compile(project_id, details.source)
        async with self._store.transaction() as tx:
            template = await versions.locked(tx, project_id, template_id)
            if template.published_number != published:
                raise ConflictError("Another version was published meanwhile.")
            pending = await templates.pending(tx, project_id, template_id)
            if pending is not None:
                raise ConflictError(f"Version {pending.number} waits for approval; republish when that is decided.")
            added = await versions.add(tx, template, details.source, compiled, base=published, clock=self._clock)
            number = added.version.number
            needs_approval = await projects.templates_need_approval(tx, project_id)
            template = await versions.publish(
                tx, added.template, number, is_approved=not needs_approval, clock=self._clock
            )
            await templates.update(tx, template)
        return number
