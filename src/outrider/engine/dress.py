"""What a mail gets on its way out besides its content: links that say who follows them, a pixel, a line to unsubscribe.

Of one message, composed or handed in whole; each recipient's copy has its own tokens. What is rewritten, and what never
is, says `mail.links`; what is tracked, `policy.tracking`. It is decided when a message is first read in a process, and
kept with it.
"""

import html
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

import msgspec

from outrider.engine import plans as planning
from outrider.engine.plans import Cut, Plans
from outrider.mail.link_tokens import Tokens
from outrider.mail.links import Plan, Rewriting
from outrider.mail.render import Rendered
from outrider.mail.translate import UNSUBSCRIBE_MARK
from outrider.policy import tracking
from outrider.policy.tracking import Terms, Tracked
from outrider.store.messages import Message


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What tracking of a domain's mail stands on."""

    terms: Terms
    base_url: str = ""  # What tracked links begin with, without a last slash; "": nothing is tracked.
    host: str = ""  # The tracking host that tokens are bound to; "": the installation's own.
    links_root: str = ""  # What links to our own pages begin with; "": there are none.


class TrackingBook(Protocol):
    """Who says what is tracked (`services.tracking_terms`)."""

    @property
    def tokens(self) -> Tokens:
        """What makes the tokens."""
        ...

    async def ground_of(self, project_id: UUID, sender_domain: str) -> Ground:
        """Return what counts for a project's mail from a domain. Cost: no query, mostly."""
        ...


class Dress:
    """What one message's copies get. Not for several threads."""

    __slots__ = ("_ground", "_last", "_plans", "_rewriting", "_tokens", "_tracked")

    def __init__(self, ground: Ground, tokens: Tokens, tracked: Tracked, plans: Plans | None = None) -> None:
        """`plans` None: those of other messages are not looked for."""
        self._ground: Final = ground
        self._tokens: Final = tokens
        self._tracked: Final = tracked
        self._rewriting: Final = Rewriting(
            clicks=tracked.clicks,
            pixel=tracked.opens,
            honey=tracked.honey_link,
            utm=tracked.utm,
            excluded_hosts=tracked.excluded_hosts,
            own_urls=tuple(url for url in (ground.base_url, ground.links_root) if url),
        )
        self._plans: Final = plans
        self._last: Final[dict[Cut, tuple[str, Plan]]] = {}  # What the last plan is of: a shared body has one.

    @property
    def has_footer(self) -> bool:
        """Whether a mail without a link to unsubscribe gets one."""
        return self._tracked.footer

    @property
    def changes_content(self) -> bool:
        """Whether it changes any content, with or without a footer."""
        return self._tracked.changes_content

    def has_link(self, parts: Sequence[str | None]) -> bool:
        """Whether one of these parts of a mail leads to our page to unsubscribe."""
        ours = f"{self._ground.links_root}/unsubscribe"
        return any(part and (UNSUBSCRIBE_MARK in part or ours in part) for part in parts)

    def put_on(
        self, rendered: Rendered, recipient_id: UUID, *, link: str, has_footer: bool, is_shared: bool = True
    ) -> Rendered:
        """Return a recipient's content with all it gets.

        Args:
            link: where it unsubscribes; the mark for it is replaced.
            has_footer: whether to write a line with it.
            is_shared: other messages may have the same content; False: it is one mail's own, or a thread asks.
        """
        markup, text = rendered.html, rendered.text
        has_footer = has_footer and bool(link)
        if markup is not None:
            made = self._plan_of(markup, is_html=True, has_footer=has_footer, is_shared=is_shared)
            markup = self._written(made, recipient_id)
        if text is not None:
            made = self._plan_of(text, is_html=False, has_footer=has_footer, is_shared=is_shared)
            text = self._written(made, recipient_id)
        return with_link(Rendered(rendered.subject, markup, text), link)

    def _plan_of(self, source: str, *, is_html: bool, has_footer: bool, is_shared: bool) -> Plan:
        cut = Cut(self._rewriting, is_html, has_footer, self._tracked.text_links)
        last = self._last.get(cut)
        if last is not None and last[0] == source:
            return last[1]
        shared = self._plans if is_shared else None
        plan = planning.make(source, cut) if shared is None else shared.find(source, cut)
        self._last[cut] = source, plan
        return plan

    def _written(self, plan: Plan, recipient_id: UUID) -> str:
        tokens, base_url, host = self._tokens, self._ground.base_url, self._ground.host
        urls = [
            f"{base_url}/t/{tokens.link(recipient_id, slot.number, slot.target, host=host)}"
            if slot.target
            else f"{base_url}/o/{tokens.pixel(recipient_id, host=host)}.gif"
            for slot in plan.slots
        ]
        return plan.written(urls)


def dress_of(ground: Ground, tokens: Tokens, message: Message, plans: Plans | None = None) -> Dress | None:
    """Return what a message's copies get, None if that is nothing; `plans` are those of all messages."""
    opens, clicks = message.track_opens, message.track_clicks
    tracked = tracking.decide(ground.terms, message.stream, campaign=message.campaign, opens=opens, clicks=clicks)
    if not ground.base_url:
        tracked = msgspec.structs.replace(tracked, opens=False, clicks=False, honey_link=False)
    if not ground.links_root:
        tracked = msgspec.structs.replace(tracked, footer=False)
    return Dress(ground, tokens, tracked, plans) if tracked.changes_content or tracked.footer else None


def with_link(rendered: Rendered, link: str) -> Rendered:
    """Return the content with `link` in place of the mark for it."""
    markup, text = rendered.html, rendered.text
    return Rendered(
        rendered.subject,
        None if markup is None else markup.replace(UNSUBSCRIBE_MARK, html.escape(link)),
        None if text is None else text.replace(UNSUBSCRIBE_MARK, link),
    )
