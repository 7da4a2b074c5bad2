"""What a mail of /v1/emails is filled in with: its template, stored or its own, and each recipient's variables.

Names of addresses are the caller's, in any spelling that means the same mailbox. Translates and never decides: whether
the variables are enough is the engine's to find out.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from outrider.base.errors import CallerError
from outrider.engine.submission import Personal, Templated
from outrider.faces.api.ports import Ports
from outrider.faces.api.v1.call import Call
from outrider.faces.api.v1.message_types import NewMessage
from outrider.mail import address

T = TypeVar("T")


def is_separate(body: NewMessage) -> bool:
    """Whether each recipient gets a mail of its own, that shows no other address."""
    return body.separate or bool(body.recipient_variables or body.recipient_locales)


async def find(ports: Ports, call: Call, body: NewMessage) -> Templated | None:
    """Return the template of a mail, None if it has none.

    Raises:
        NotFoundError, CallerError: the template may not be sent, or what would be one is none.
    """
    if body.template:
        found = await ports.find_template(call.project_id, body.template)
    elif body.variables or body.recipient_variables:
        if body.html is None and body.text is None:
            raise CallerError("There is nothing to fill in: no template, html or text.", field="variables")
        found = await ports.compile_inline(body.subject, body.html, body.text)
    elif body.locale or body.recipient_locales or body.preheader is not None:
        raise CallerError("Only a template has that.", field="locale" if body.preheader is None else "preheader")
    else:
        return None
    if body.preheader is None:
        return found
    return Templated(
        template=found.template,
        template_id=found.template_id,
        number=found.number,
        stream=found.stream,
        preheader=body.preheader,
    )


def personal(body: NewMessage, recipients: Sequence[str]) -> tuple[Personal, ...]:
    """Return what fills in the mail of each of `recipients`, bare addresses, in order; () if nothing does.

    Raises:
        CallerError: there are variables or a locale of somebody who is no recipient, or two for one mailbox.
    """
    own = _by_key(body.recipient_variables, "recipient_variables")
    locales = _by_key(body.recipient_locales, "recipient_locales")
    keys = [_key(text) for text in recipients] if own or locales else [""] * len(recipients)
    for field, named in (("recipient_variables", own), ("recipient_locales", locales)):
        if len(named.keys() - set(keys)):
            raise CallerError("It names an address that is no recipient.", field=field)
    if not body.variables and not body.locale and not own and not locales:
        return ()
    return tuple([Personal({**body.variables, **own.get(key, {})}, locales.get(key, body.locale)) for key in keys])


def _by_key(named: Mapping[str, T], field: str) -> dict[str, T]:
    found: dict[str, T] = {}
    for text, value in named.items():
        if found.setdefault(_key(text), value) != value:
            raise CallerError("It names one mailbox twice, which gets one mail: send the other by itself.", field=field)
    return found


def _key(text: str) -> str:
    try:
        return address.parse(text).key
    except CallerError:  # The engine says what is wrong with it.
        return text
