"""/v1/tracking and /v1/domains/{name}/tracking: what is tracked of a project's mail, and of one domain's.

A change names the fields it changes; null takes a word back. What is tracked where a domain says nothing is its
project's; a message has the last word. What follows of it is `services.tracking_terms`'s.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from outrider.base.vocab import KeyScope, TrackedMail
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1 import reading
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.routes import Act, Route
from outrider.policy.tracking import HostPattern, Terms, UtmName, UtmValue
from outrider.services.tracking_terms import TermsView


class TrackingShown(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of tracking, and what follows from it."""

    own: Annotated[Terms, Meta(description="What is said here; what is missing is not.")]
    counts: Annotated[Terms, Meta(description="What counts: a domain's words over its project's.")]
    links_begin_with: Annotated[str, Meta(description="Empty: links would lead nowhere, so nothing is tracked.")]


class TrackingChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays. null: nothing is said of it any more."""

    opens: TrackedMail | UnsetType | None = UNSET
    clicks: TrackedMail | UnsetType | None = UNSET
    text_links: Annotated[bool | UnsetType | None, Meta(description="Links in plain text, too.")] = UNSET
    utm: Annotated[
        dict[UtmName, UtmValue] | UnsetType | None,
        Meta(description="Appended to links; `{campaign}` and `{stream}` stand for the mail's."),
    ] = UNSET
    excluded_hosts: Annotated[
        list[HostPattern] | UnsetType | None, Meta(description="Links there stay as they are; `*.`: all below.")
    ] = UNSET
    honey_link: Annotated[bool | UnsetType | None, Meta(description="A link that only machines follow.")] = UNSET
    is_private: Annotated[bool | UnsetType | None, Meta(description="Store nothing of readers' machines.")] = UNSET
    footer: Annotated[
        bool | UnsetType | None, Meta(description="A line to unsubscribe in marketing mail without one; null: yes.")
    ] = UNSET


def routes(ports: Ports) -> list[Route]:
    """Return the rows of tracking."""
    acts = _Tracking(ports)

    def row(method: str, path: str, act: Act, scope: KeyScope) -> Route:
        return Route(method=method, path=path, act=act, scope=scope, tag="Tracking")

    return [
        row("GET", "/tracking", acts.show_tracking, KeyScope.READ),
        row("PATCH", "/tracking", acts.change_tracking, KeyScope.MANAGE),
        row("GET", "/domains/{name}/tracking", acts.show_domain_tracking, KeyScope.READ),
        row("PATCH", "/domains/{name}/tracking", acts.change_domain_tracking, KeyScope.MANAGE),
    ]


class _Tracking:
    def __init__(self, ports: Ports) -> None:
        self._ports: Final = ports

    async def show_tracking(self, call: Call) -> TrackingShown:
        """Show what is tracked of the project's mail."""
        return _shown(await self._ports.services.tracking_terms.view(call.project_id))

    async def change_tracking(self, call: Call, body: TrackingChange) -> TrackingShown:
        """Say what is tracked of the project's mail; it counts within a second."""
        changed = await self._ports.services.tracking_terms.change(call.project_id, reading.given(body))
        return _shown(changed)

    async def show_domain_tracking(self, call: Call, name: str) -> TrackingShown:
        """Show what is tracked of a domain's mail."""
        services = self._ports.services
        domain = await services.identity.domain(call.project_id, name)
        return _shown(await services.tracking_terms.view(call.project_id, domain.name))

    async def change_domain_tracking(self, call: Call, name: str, body: TrackingChange) -> TrackingShown:
        """Say what is tracked of a domain's mail, over what the project says."""
        services = self._ports.services
        domain = await services.identity.domain(call.project_id, name)
        return _shown(await services.tracking_terms.change(call.project_id, reading.given(body), domain=domain.name))


def _shown(view: TermsView) -> TrackingShown:
    return TrackingShown(own=view.own, counts=view.terms, links_begin_with=view.base_url)
