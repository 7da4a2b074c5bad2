"""Each recipient's mail filled in once before it is accepted, so that whoever lacks a variable is told, not bounced.

    Submission.templated, personal --try_all--> those whose mail can be made, with what fills it; the others, rejected

What comes out is thrown away: station 3 makes it again from what is stored, with the same result, because all that it
is made from is stored with the message (`store.messages.Body.template`, `recipient.personal`). Storing what came out
would cost a recipient as much as a content (ADR 0038).

Bounded: one mail by its template's fuel, all mails of a call by `RENDER_CALL_S_MAX`; other callers get their turn every
few milliseconds.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base import limits
from outrider.base.clock import Clock
from outrider.base.errors import CallerError, TemplateBoundError
from outrider.engine import check
from outrider.engine.renderers import Renderers
from outrider.engine.submission import Personal, Rejected, Submission, Templated
from outrider.mail.address import Address
from outrider.mail.render import Rendered, Renderer
from outrider.mail.translate import UNSUBSCRIBE_MARK

_KEPT_BYTES_MAX: Final = 32 * 1024 * 1024  # Ours: of renderers; some hundred templates.
_BOUND_FAILURES_MAX: Final = 3  # Ours: recipients in a row, then it is the template; each takes some 10 ms.
SHOWN_TOKEN: Final = "0" * 48  # As long as a real one, about. How a template has written the link, it stands in it.
SHOWN_LINK: Final = f"https://example.invalid/unsubscribe?token={SHOWN_TOKEN}"
_NOTHING: Final = Personal()
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Personal).decode


class Filling(msgspec.Struct, frozen=True):
    """A recipient whose mail can be made."""

    address: Address
    personal: bytes | None  # As `recipient.personal` holds it.


def read(personal: bytes | None) -> Personal:
    """Return what `Filling.personal` holds."""
    return _NOTHING if personal is None else _decode(personal)


class Filler:
    """Tries templates. One per process."""

    def __init__(self, *, clock: Clock, has_links: bool) -> None:
        """`has_links`: there are pages for people to unsubscribe on."""
        self._clock: Final = clock
        self._has_links: Final = has_links
        self._renderers: Final = Renderers(bytes_max=_KEPT_BYTES_MAX)

    def check_links(self, submission: Submission) -> None:
        """Refuse content without a template that shows a link to unsubscribe, where there is none. Raises CallerError.

        Cost: one pass over the content.
        """
        if not self._has_links:
            for field, part in (("html", submission.html), ("text", submission.text)):
                if part is not None and UNSUBSCRIBE_MARK in part:
                    raise CallerError(
                        f"{UNSUBSCRIBE_MARK} needs an address to lead to: set [faces] public_url.", field=field
                    )

    async def try_all(
        self, submission: Submission, addresses: Sequence[tuple[Address, int]]
    ) -> tuple[list[Filling], list[Rejected]]:
        """Return whose mail can be made, and whose not with the reason, each in order.

        Args:
            addresses: with the place of each in `submission.recipients`.

        Raises:
            CallerError: the template can be filled in for nobody, takes too long, or shows a link that leads nowhere.
        """
        templated = submission.templated
        assert templated is not None
        renderer = self._renderers.find(templated.template)
        if renderer.has_unsubscribe and not self._has_links:
            raise CallerError(
                "The template shows a link to unsubscribe; it needs an address to lead to: set [faces] public_url.",
                field="template",
            )
        kept: list[Filling] = []
        rejected: list[Rejected] = []
        started_s = turn_s = self._clock.monotonic_s()
        for parsed, at in addresses:
            personal = submission.personal[at] if submission.personal else _NOTHING
            try:
                encoded = _encoded(personal)
                check.rendered(_fill(renderer, submission, templated, personal))
                kept.append(Filling(parsed, encoded))
            except TemplateBoundError as error:
                rejected.append(Rejected(submission.recipients[at], error.public))
                if not kept and len(rejected) >= _BOUND_FAILURES_MAX:
                    raise CallerError(f"The template is refused. {error.public}", field="template") from error
            except CallerError as error:
                rejected.append(Rejected(submission.recipients[at], error.public))
            now_s = self._clock.monotonic_s()
            if now_s - started_s > limits.RENDER_CALL_S_MAX:
                raise CallerError("The template takes too long to fill in for so many.", field="template")
            if now_s - turn_s > limits.RENDER_TURN_S_MAX:
                await self._clock.sleep(0)
                turn_s = self._clock.monotonic_s()
        return kept, rejected

    def fill(self, submission: Submission, personal: bytes | None) -> Rendered:
        """Return the mail of one whom `try_all` has kept, with a link to unsubscribe that leads nowhere."""
        templated = submission.templated
        assert templated is not None
        return _fill(self._renderers.find(templated.template), submission, templated, read(personal))


def _fill(renderer: Renderer, submission: Submission, templated: Templated, personal: Personal) -> Rendered:
    return renderer.render(
        personal.variables,
        locale=personal.locale,
        unsubscribe_link=SHOWN_LINK,
        subject=submission.subject or None,
        preheader=templated.preheader,
    )


def _encoded(personal: Personal) -> bytes | None:
    """Return it as it is stored. Raises CallerError: it is too large, or nothing that can be stored."""
    if not personal.variables and not personal.locale:
        return None
    try:
        encoded = _encode(personal)
    except (UnicodeEncodeError, OverflowError) as error:
        raise CallerError("A variable has half a character, or a number of over 64 bits.", field="variables") from error
    if len(encoded) > limits.PERSONAL_BYTES_MAX:
        raise CallerError(
            f"The variables have {len(encoded)} bytes; at most {limits.PERSONAL_BYTES_MAX} are allowed.",
            field="variables",
        )
    return encoded
