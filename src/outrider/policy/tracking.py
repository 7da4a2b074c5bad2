"""Which mail is tracked, and how: a project's terms, a domain's over them, a message's own word over both.

    merged(project, domain)                       each field as the domain has it, where it says something
    decide(terms, stream, opens=None, clicks=None)    what happens to one message
    check_links(terms)                            what would do nothing to links is refused

A field that is None says nothing. What nobody has said is off, but for the footer: marketing mail without a link to
unsubscribe gets one. `Terms` holds what was stored before these checks, too.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from outrider.base import limits
from outrider.base.errors import CallerError
from outrider.base.vocab import Stream, TrackedMail
from outrider.mail import hosts

HostPattern = Annotated[str, Meta(min_length=1, max_length=limits.DOMAIN_NAME_CHARS_MAX)]
UtmName = Annotated[str, Meta(pattern=r"^utm_[a-z_]{1,40}\Z")]
UtmValue = Annotated[str, Meta(max_length=200)]
# Underscores: hosts of links have them, and browsers find those.
_name: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII).fullmatch
_ipv6: Final = re.compile(r"\[[0-9a-f:.]+\]").fullmatch
_BELOW: Final = "*."
_PLACEHOLDER: Final = re.compile(r"\{(campaign|stream)\}")
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a project or a domain says of tracking, as it is stored and as APIs show it."""

    opens: TrackedMail | None = None
    clicks: TrackedMail | None = None
    text_links: bool | None = None  # Links in plain text are rewritten too.
    utm: dict[UtmName, UtmValue] | None = None  # Appended to links; {campaign} and {stream} in it are the mail's.
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
    words = {"campaign": campaign, "stream": stream.value}
    utm = [(name, _filled(value, words)) for name, value in (terms.utm or {}).items()]
    return Tracked(
        opens=has_opens,
        clicks=has_clicks,
        text_links=bool(terms.text_links),
        utm=tuple((name, value) for name, value in utm if value),
        excluded_hosts=tuple(terms.excluded_hosts or ()),
        honey_link=bool(terms.honey_link) and has_clicks,
        footer=terms.footer is not False and stream is Stream.MARKETING,
    )


def host_pattern(text: str) -> str | None:
    """Return a pattern of hosts as links are held against it: lower-case A-labels, no last dot; None: it is none.

    "shop.example" is that host on any port, "*.shop.example" all hosts below it and not itself.
    """
    below, host = (_BELOW, text[len(_BELOW) :]) if text.startswith(_BELOW) else ("", text)
    name = host.lower() if host.isascii() else hosts.to_alabels(host)
    name = name.removesuffix(".") if name else ""
    is_host = _name(name) or (not below and _ipv6(name))
    return below + name if is_host and len(below + name) <= limits.DOMAIN_NAME_CHARS_MAX else None


def normalised(terms: Terms) -> Terms:
    """Return terms with patterns of hosts as `host_pattern` writes them; what is none stays as it was stored."""
    if not terms.excluded_hosts:
        return terms
    patterns = [host_pattern(text) or text for text in terms.excluded_hosts]
    return msgspec.structs.replace(terms, excluded_hosts=patterns)


def check_links(terms: Terms) -> None:
    """Refuse what would do nothing, or something else than it says, to links.

    Raises:
        CallerError: a pattern is no host, or a UTM parameter has no value, one with a control character, or one with
            braces that stand for nothing.
    """
    for pattern in terms.excluded_hosts or ():
        if host_pattern(pattern) is None:
            raise CallerError(
                f"Not a host: {pattern!r}. Say shop.example, or *.shop.example for all below; no scheme, port or path.",
                field="excluded_hosts",
            )
    for name, value in (terms.utm or {}).items():
        if not value or _UNFIT.search(value):
            raise CallerError(f"{name} needs a value, without control characters.", field="utm")
        if re.search(r"[{}]", _PLACEHOLDER.sub("", value)):
            raise CallerError(f"{name}: only {{campaign}} and {{stream}} stand in braces, not {value!r}.", field="utm")


def _filled(value: str, words: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: words[found[1]], value) if "{" in value else value


def _covers(tracked: TrackedMail | None, stream: Stream) -> bool:
    match tracked:
        case None | TrackedMail.OFF:
            return False
        case TrackedMail.MARKETING:
            return stream is Stream.MARKETING
        case TrackedMail.ALL:
            return True
