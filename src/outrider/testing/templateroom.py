"""The services of templates on a real store, for two projects: `office.shop` and `office.other`.

    office = await TemplateRoom(store, clock, mailroom).open()
    made = await office.templates.create(office.shop, "Welcome", Stream.TRANSACTIONAL, source("Hi {{ name }}"))

Mail goes to a `RecordingEngine`.
"""

import random
from typing import Any, Final, Self
from uuid import UUID

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.mail.templating import Source, SourceVariant
from outrider.services.templates.partials import Partials
from outrider.services.templates.published import Published
from outrider.services.templates.templates import TemplateDetails, Templates
from outrider.services.templates.trial import Trial
from outrider.services.templates.versions import Compiler
from outrider.store.pool import Store
from outrider.testing.clock import FakeClock
from outrider.testing.engine import RecordingEngine
from outrider.testing.mailroom import Mailroom


def source(body: str = "<p>Hi {{ name }}</p>", subject: str = "Hello {{ name }}", **fields: Any) -> Source:
    """Return a source with one variant."""
    return Source(variants=(SourceVariant(subject=subject, body=body),), **fields)


class TemplateRoom:
    """The services, and two projects."""

    def __init__(self, store: Store, clock: FakeClock, mailroom: Mailroom) -> None:
        compiler, bits = Compiler(store), random.SystemRandom().getrandbits
        self.store: Final = store
        self.clock: Final = clock
        self.mailroom: Final = mailroom
        self.engine: Final = RecordingEngine()
        self.templates: Final = Templates(store, compiler, clock=clock, random_bits=bits)
        self.partials: Final = Partials(store, compiler, clock=clock)
        self.trial: Final = Trial(store, compiler, self.engine)
        self.published: Final = Published(store, clock=clock)
        self.shop = self.other = UUID(int=0)

    async def open(self) -> Self:
        """Make the projects."""
        self.shop, self.other = await self.mailroom.project("shop"), await self.mailroom.project("other")
        return self

    async def put(
        self, name: str = "Welcome", wrote: Source | None = None, *, is_published: bool = True
    ) -> TemplateDetails:
        """Make a template of the shop's, published unless told otherwise."""
        self.clock.advance(1.0)
        made = wrote or source()
        return await self.templates.create(self.shop, name, Stream.TRANSACTIONAL, made, is_published=is_published)

    async def edit(self, template_id: str, body: str, *, is_published: bool = False) -> TemplateDetails:
        """Write another body."""
        self.clock.advance(1.0)
        return await self.templates.change(self.shop, template_id, lambda _: source(body), is_published=is_published)

    async def sent(self, name: str = "Welcome") -> int | str:
        """Return the number of the version that is sent, when what was changed is known everywhere; else why none."""
        self.clock.advance(0.999)
        try:
            return (await self.published.find(self.shop, name)).number
        except CallerError as error:
            return error.public
