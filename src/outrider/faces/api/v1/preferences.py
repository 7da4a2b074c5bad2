"""/v1/preferences: what one reader gets of the project's marketing mail, for a page of the project's own.

The page behind the link in a mail shows and changes the same. Who calls speaks for the reader; what the reader called
spam stays blocked.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from outrider.base import limits
from outrider.base.vocab import KeyScope, LeavingReason, SubscriptionState
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.routes import Act, Route
from outrider.services.preferences import Choices, Wanted, Word

_ON: Final = "subscribed"
_Wish = Literal["subscribed", "unsubscribed"]


class TopicPreference(msgspec.Struct, frozen=True, kw_only=True):
    """A topic, and whether the reader gets it."""

    name: str
    title: str
    description: str
    state: Annotated[SubscriptionState, Meta(description="`blocked`: no word of the reader's changes it.")]


class PreferencesShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader gets, as far as it is the reader's wish."""

    marketing: Annotated[SubscriptionState, Meta(description="Mail of no list, and of lists without a topic.")]
    topics: Sequence[TopicPreference]


class PreferencesWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays."""

    marketing: Annotated[
        _Wish | None,
        Meta(description="`unsubscribed`: no marketing mail at all, but for topics that are `subscribed` below."),
    ] = None
    topics: Annotated[dict[str, _Wish], Meta(description="By name.", examples=[{"weekly": "unsubscribed"}])] = {}
    why: Annotated[LeavingReason | None, Meta(description="Why the reader leaves.")] = None
    said: Annotated[str, Meta(max_length=limits.LEAVING_SAID_CHARS_MAX, description="In the reader's words.")] = ""
    client: Annotated[str, Meta(max_length=45, description="The address the reader was at, for the record.")] = ""


def routes(ports: Ports) -> list[Route]:
    """Return the rows of /v1/preferences."""
    acts = _Preferences(ports)

    def row(method: str, act: Act, scope: KeyScope, **more: Any) -> Route:
        return Route(method=method, path="/preferences/{address}", act=act, scope=scope, tag="Suppressions", **more)

    return [
        row("GET", acts.show_preferences, KeyScope.READ),
        row("PUT", acts.change_preferences, KeyScope.MANAGE),
    ]


class _Preferences:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def show_preferences(self, call: Call, address: str) -> PreferencesShown:
        """Show what a reader gets of the marketing mail, topic by topic."""
        return _shown(await self._ports.services.preferences.show(call.project_id, address))

    async def change_preferences(self, call: Call, address: str, body: PreferencesWanted) -> PreferencesShown:
        """Do as a reader wishes: leave marketing mail or come back, then topic by topic. Safe twice."""
        wanted = Wanted(
            marketing=None if body.marketing is None else body.marketing == _ON,
            topics={name: wish == _ON for name, wish in body.topics.items()},
            word=Word(why=body.why, said=body.said),
            client=body.client,
        )
        return _shown(await self._ports.services.preferences.change(call.project_id, address, wanted))


def _shown(choices: Choices) -> PreferencesShown:
    return PreferencesShown(
        marketing=choices.marketing,
        topics=[
            TopicPreference(name=one.name, title=one.title, description=one.description, state=one.state)
            for one in choices.topics
        ],
    )
