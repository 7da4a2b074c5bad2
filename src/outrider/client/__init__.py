"""The Python client of Outrider's HTTP API, for programs that wait and for asyncio; docs/howto/clients.md shows it.

    with Outrider("http://127.0.0.1:8025", "ACCESSKEY_ID.ACCESSKEY_SECRET") as outrider:
        accepted = outrider.send(Mail(sender="noreply@shop.example", to="ann@x.example", subject="Hi", text="Hello."))

It is public: what `__all__` names stays. It imports nothing of the server, so it says the same to any Outrider.

`blocking` has Outrider, `awaited` AsyncOutrider; `surface` their methods, once; `calls` and `template_calls` each call
as a value (with `paths`), `records` what goes in and comes out, `webhooks` those of webhooks and what reads their
calls, `errors` the exceptions, `config` address, key and patience. Beneath: `core` decides what a call does next
(tries, pauses, streams) in `steps` that the two carry out; `frames` reads a stream's events.
"""

from outrider.client.awaited import AsyncOutrider
from outrider.client.blocking import Outrider
from outrider.client.config import Patience
from outrider.client.errors import (
    AnswerTimeoutError,
    AnswerUnreadableError,
    BadRequestError,
    ClientError,
    ConflictError,
    ForbiddenError,
    LimitReachedError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    ServerError,
    SetupError,
    TooLargeError,
    UnauthenticatedError,
    WebhookRefusedError,
)
from outrider.client.records import Attachment, Event, Mail, Message, Template, TemplateVariant, attach
from outrider.client.webhooks import read_webhook

__all__ = [
    "AnswerTimeoutError",
    "AnswerUnreadableError",
    "AsyncOutrider",
    "Attachment",
    "BadRequestError",
    "ClientError",
    "ConflictError",
    "Event",
    "ForbiddenError",
    "LimitReachedError",
    "Mail",
    "Message",
    "NoAnswerError",
    "NotFoundError",
    "Outrider",
    "Patience",
    "ProblemError",
    "ServerError",
    "SetupError",
    "Template",
    "TemplateVariant",
    "TooLargeError",
    "UnauthenticatedError",
    "WebhookRefusedError",
    "attach",
    "read_webhook",
]
