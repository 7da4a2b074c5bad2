"""/v1/topics: lists that the project's readers are shown, to choose from, on the page behind the link to unsubscribe.

A topic's name is the `list` of the mail it is about; in a path it is percent-encoded.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base.vocab import KeyScope
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.routes import Act, Route
from outrider.services.topics import Topic, Topics

_POSITION: Final = "The lowest is shown first."


class NewTopic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list to show to readers."""

    name: Annotated[str, Meta(description="The `list` of its mail.", examples=["weekly"])]
    title: Annotated[str, Meta(description="For readers.", examples=["The weekly letter"])]
    description: Annotated[str, Meta(description="For readers too.")] = ""
    position: Annotated[int | None, Meta(description=f"{_POSITION} Without it: behind all others.")] = None


class TopicChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    title: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    position: Annotated[int | UnsetType, Meta(description=_POSITION)] = UNSET


class TopicShown(msgspec.Struct, frozen=True, kw_only=True):
    """A list as readers see it."""

    name: str
    title: str
    description: str
    position: int
    created_at: datetime


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """All of the project's, as readers see them."""

    topics: Sequence[TopicShown]


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/topics."""
    acts = _Topics(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope, **more: Any) -> Route:
        return Route(method=method, path=f"/topics{path}", act=act, scope=scope, tag="Suppressions", **more)

    return [
        row("POST", "", acts.add_topic, KeyScope.MANAGE, status=201),
        row("GET", "", acts.list_topics, KeyScope.READ),
        row("GET", "/{name}", acts.show_topic, KeyScope.READ),
        row("PATCH", "/{name}", acts.change_topic, KeyScope.MANAGE),
        row("DELETE", "/{name}", acts.remove_topic, KeyScope.MANAGE),
    ]


class _Topics:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def add_topic(self, call: Call, body: NewTopic) -> TopicShown:
        """Show a list to readers, to choose from."""
        return _shown(
            await self._service.add(
                call.project_id, body.name, title=body.title, description=body.description, position=body.position
            )
        )

    async def list_topics(self, call: Call) -> TopicList:
        """List the topics as readers see them."""
        return TopicList(topics=[_shown(one) for one in await self._service.list(call.project_id)])

    async def show_topic(self, call: Call, name: str) -> TopicShown:
        """Show a topic."""
        return _shown(await self._service.show(call.project_id, name))

    async def change_topic(self, call: Call, name: str, body: TopicChange) -> TopicShown:
        """Change what readers see of a topic."""
        return _shown(await self._service.change(call.project_id, name, **reading.given(body)))

    async def remove_topic(self, call: Call, name: str) -> None:
        """Show a topic to nobody any more. Who left the list stays out of it."""
        await self._service.remove(call.project_id, name)

    @property
    def _service(self) -> Topics:
        return self._ports.services.topics


def _shown(one: Topic) -> TopicShown:
    return TopicShown(
        name=one.name,
        title=one.title,
        description=one.description,
        position=one.position,
        created_at=one.created_at,
    )
