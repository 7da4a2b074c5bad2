"""Which mail is tracked, and how: a project's terms, a domain's over them, a message's own word over both.

    merged(project, domain)                       each field as the domain has it, where it says something
    decide(terms, stream, opens=None, clicks=None)    what happens to one message

A field that is None says nothing. What nobody has said is off, but for the footer: marketing mail without a link to
unsubscribe gets one.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from outrider.base.vocab import Stream, TrackedMail

HostPattern = Annotated[str, Meta(min_length=1, max_length=253)]
UtmName = Annotated[str, Meta(pattern=r"^utm_[a-z_]{1,40}\Z")]
UtmValue = Annotated[str, Meta(max_length=200)]


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a project or a domain says of tracking, as it is stored and as APIs show it."""

    opens: TrackedMail | None = None
    clicks: TrackedMail | None = None
    text_links: bool | None = None  # Links in plain text are rewritten too.
    utm: dict[UtmName, UtmValue] | None = None  # Appended to links; "{campaign}" and "{stream}" stand for the mail's.
    excluded_hosts: Annotated[list[HostPattern], Meta(max_length=100)] | None = None  # "shop.example", "*.shop.example"
    honey_link: bool | None = None  # A link that no reader sees: what follows it is a machine.
    is_private: bool | None = None  # Neither addresses nor agents of readers are stored.
    footer: bool | None = None  # Marketing mail without a link to unsubscribe gets a line with one; None: it does.


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one message. Nothing is None any more."""

    opens: bool = False
    clicks: bool = False
    text_links: bool = False
    utm: tuple[tuple[str, str], ...] = ()  # Appended to links, whether clicks are tracked or not.
    excluded_hosts: tuple[str, ...] = ()
    honey_link: bool = False
    footer: bool = False

    @property
    def changes_links(self) -> bool:
        """Whether links of the content are written anew."""
        return self.clicks or bool(self.utm)

    @property
    def changes_content(self) -> bool:
        """Whether a mail's content is changed at all, but for a footer."""
        return self.opens or self.changes_links


NOTHING: Final = Terms()


def merged(project: Terms, domain: Terms) -> Terms:
    """Return the terms that hold for a domain's mail."""
    said = {name: value for name in Terms.__struct_fields__ if (value := getattr(domain, name)) is not None}
    return msgspec.structs.replace(project, **said) if said else project


def decide(
    terms: Terms, stream: Stream, *, campaign: str = "", opens: bool | None = None, clicks: bool | None = None
) -> Tracked:
    """Return what happens to a message of that stream.

    Args:
        terms: `merged`.
        opens, clicks: the message's own word; None: none.
    """
    has_opens = _covers(terms.opens, stream) if opens is None else opens
    has_clicks = _covers(terms.clicks, stream) if clicks is None else clicks
    values = {"{campaign}": campaign, "{stream}": stream.value}
    utm = [(name, values.get(value, value)) for name, value in (terms.utm or {}).items()]
    return Tracked(
        opens=has_opens,
        clicks=has_clicks,
        text_links=bool(terms.text_links),
        utm=tuple((name, value) for name, value in utm if value),
        excluded_hosts=tuple(terms.excluded_hosts or ()),
        honey_link=bool(terms.honey_link) and has_clicks,
        footer=terms.footer is not False and stream is Stream.MARKETING,
    )


def _covers(tracked: TrackedMail | None, stream: Stream) -> bool:
    match tracked:
        case None | TrackedMail.OFF:
            return False
        case TrackedMail.MARKETING:
            return stream is Stream.MARKETING
        case TrackedMail.ALL:
            return True
