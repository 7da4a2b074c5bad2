"""What is sent of a template, for each call that sends it: answered from memory.

That it may be sent is at most `FRESH_S` old, so one that is switched off is refused everywhere within a second; none is
refused from memory, so one that was approved a moment ago is sent. What a published version is made of never changes,
so that is kept for longer: many calls share one `Template`.
"""

from typing import Final
from uuid import UUID

from outrider.base.clock import Clock
from outrider.base.errors import CallerError
from outrider.base.vocab import TemplateState
from outrider.engine.submission import Templated
from outrider.mail.render import Template
from outrider.services.templates import versions
from outrider.store import templates
from outrider.store.pool import Store
from outrider.store.recent import Recent
from outrider.store.templates import StoredTemplate

FRESH_S: Final = 0.5  # A template that is switched off is refused everywhere within 1 s.
_KEPT_S: Final = 3600.0  # Ours: lets go of those that nobody sends.
_KEPT_COUNT_MAX: Final = 200  # Ours: of contents in one process, some 10 KB each.
_NOT_SENT: Final = {
    TemplateState.DRAFT: "has no published version",
    TemplateState.PENDING: "waits for approval",
    TemplateState.REVIEWING: "is being reviewed",
    TemplateState.REJECTED: "was rejected",
    TemplateState.DISABLED: "is disabled",
}


class Published:
    """The published templates of all projects."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store: Final = store
        self._known: Final = Recent[tuple[UUID, str], StoredTemplate | None](self._read, clock=clock, fresh_s=FRESH_S)
        self._contents: Final = Recent[tuple[UUID, str, int], Template](
            self._read_content, clock=clock, fresh_s=_KEPT_S, count_max=_KEPT_COUNT_MAX
        )

    async def find(self, project_id: UUID, template: str) -> Templated:
        """Return what is sent of the template with this id or name.

        Raises:
            NotFoundError: field "template"; the project has none.
            CallerError: field "template"; it may not be sent, and why.
        """
        if not versions.is_name(template):
            raise versions.unknown(template)
        found = await self._known.get((project_id, template))
        if found is None or found.state is not TemplateState.APPROVED or found.published_number is None:
            self._known.forget((project_id, template))
            found = await self._known.get((project_id, template))
        if found is None:
            raise versions.unknown(template)
        number = found.published_number
        if found.state is not TemplateState.APPROVED or number is None:
            why = f"{_NOT_SENT.get(found.state, found.state)}{versions.because(found)}"
            raise CallerError(f"The template {found.template_id} {why}.", field="template")
        content = await self._contents.get((project_id, found.template_id, number))
        return Templated(template=content, template_id=found.template_id, number=number, stream=found.stream)

    async def _read(self, key: tuple[UUID, str]) -> StoredTemplate | None:
        async with self._store.transaction() as tx:
            return await templates.find(tx, *key)

    async def _read_content(self, key: tuple[UUID, str, int]) -> Template:
        async with self._store.transaction() as tx:
            stored = await templates.version(tx, *key)
        if stored is None:
            raise versions.unknown(key[1])  # It was let go of just now.
        return versions.content_of(stored)
