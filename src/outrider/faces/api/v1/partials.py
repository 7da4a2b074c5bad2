"""/v1/partials: pieces that templates include, by `{% include "NAME" %}`.

A published template holds a copy: what changes in a partial is sent once its templates are published again, all at once
by `republish`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from outrider.base.vocab import KeyScope
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import paging
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.paging import PageQuery
from outrider.faces.api.v1.routes import Act, Route
from outrider.services.templates.partials import Partial


class NewPartial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partial says."""

    source: Annotated[str, Meta(examples=["<p>Shop Ltd, {{ city }}</p>"])]


class PartialShown(msgspec.Struct, frozen=True, kw_only=True):
    """A partial."""

    name: str
    source: str
    updated_at: datetime


class PartialList(msgspec.Struct, frozen=True, kw_only=True):
    """A page, by name."""

    partials: Sequence[PartialShown]
    next: Annotated[str | None, Meta(description="For `after`; null: there are no more.")]


class PartialUser(msgspec.Struct, frozen=True, kw_only=True):
    """A template that has a partial in what is sent, waits for approval, or is being edited."""

    id: str
    name: str


class PartialUsers(msgspec.Struct, frozen=True, kw_only=True):
    """The templates that use a partial."""

    templates: Sequence[PartialUser]


class RepublishedShown(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one template."""

    id: str
    name: str
    number: Annotated[int | None, Meta(description="Its new version; null: it could not be made.")]
    why: Annotated[str, Meta(description="Why it could not be made.")]


class RepublishedList(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each template that uses a partial and is published."""

    templates: Sequence[RepublishedShown]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/partials."""
    acts = _Partials(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope, **more: Any) -> Route:
        return Route(method=method, path=f"/partials{path}", act=act, scope=scope, tag="Templates", **more)

    return [
        row("GET", "", acts.list_partials, KeyScope.READ),
        row("PUT", "/{name}", acts.put_partial, KeyScope.MANAGE),
        row("GET", "/{name}", acts.show_partial, KeyScope.READ),
        row("DELETE", "/{name}", acts.remove_partial, KeyScope.MANAGE),
        row("GET", "/{name}/templates", acts.list_partial_templates, KeyScope.READ),
        row("POST", "/{name}/republish", acts.republish_partial, KeyScope.MANAGE),
    ]


class _Partials:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def list_partials(self, call: Call, query: PageQuery) -> PartialList:
        """List the partials, by name."""
        found = await self._ports.services.partials.list(call.project_id, after=query.after, count_max=query.limit + 1)
        page, next_cursor = paging.cut(found, query.limit, lambda one: one.name)
        return PartialList(partials=[_shown(one) for one in page], next=next_cursor)

    async def put_partial(self, call: Call, name: str, body: NewPartial) -> PartialShown:
        """Store a partial, in place of the one of that name. Safe twice."""
        return _shown(await self._ports.services.partials.put(call.project_id, name, body.source))

    async def show_partial(self, call: Call, name: str) -> PartialShown:
        """Show a partial."""
        return _shown(await self._ports.services.partials.show(call.project_id, name))

    async def remove_partial(self, call: Call, name: str) -> None:
        """Forget a partial that no template needs."""
        await self._ports.services.partials.remove(call.project_id, name)

    async def list_partial_templates(self, call: Call, name: str) -> PartialUsers:
        """List the templates that use a partial."""
        await self._ports.services.partials.show(call.project_id, name)
        users = await self._ports.services.partials.users(call.project_id, name)
        return PartialUsers(templates=[PartialUser(id=one.template_id, name=one.name) for one in users])

    async def republish_partial(self, call: Call, name: str) -> RepublishedList:
        """Take a partial over, as it is now, into what is published of the templates that use it."""
        done = await self._ports.services.partials.republish(call.project_id, name)
        return RepublishedList(
            templates=[
                RepublishedShown(id=one.template_id, name=one.name, number=one.number, why=one.why) for one in done
            ]
        )


def _shown(partial: Partial) -> PartialShown:
    return PartialShown(name=partial.name, source=partial.source, updated_at=partial.updated_at)
