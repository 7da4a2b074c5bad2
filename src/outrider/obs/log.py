"""Structured logs: a past-tense event and its keys, one line each, to stderr.

JSON for machines, coloured for a terminal. A key whose name says that it is secret is masked, whatever its value; so
are bodies of messages. Each process says which role it is. Nothing else is configured: loggers are passed around as
arguments. Of the standard library's loggers warnings are shown; of aiosmtpd's only errors, of asyncpg's only what is
critical.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from outrider.obs.settings import LogSettings

Logger = structlog.typing.FilteringBoundLogger

MASK: Final = "***"
_SECRET_WORDS: Final = ("secret", "password", "authorization", "private_key", "master_key", "token", "content", "body")


def make_logger(settings: LogSettings, role: str, stream: TextIO | None = None) -> Logger:
    """Return the logger of this process, writing to `stream` (default: stderr as it is now)."""
    target = stream or sys.stderr
    logging.basicConfig(level=logging.WARNING, stream=target, format="%(levelname)s %(name)s %(message)s")
    # aiosmtpd logs every command and warns about every odd one; strangers must not write our log.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    # It prints a traceback for each connection that the database's end broke; we say what that meant.
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    is_json = settings.format == "json" or (settings.format == "auto" and not target.isatty())
    # Danger: structlog's own way to show a traceback prints the local variables, passwords and bodies among them.
    people: Any = structlog.dev.ConsoleRenderer(
        colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    render: Any = structlog.processors.JSONRenderer() if is_json else people
    tracebacks = [structlog.processors.format_exc_info] if is_json else []
    logger: Logger = structlog.wrap_logger(
        structlog.PrintLogger(target),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            redact,
            *tracebacks,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
    ).bind(role=role)
    return logger


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask every value whose key names a secret, in mappings inside too."""
    for key, value in event.items():
        event[key] = _masked(key, value)
    return event


def _masked(key: object, value: Any) -> Any:
    name = str(key).lower()
    if any(word in name for word in _SECRET_WORDS) and not name.endswith(("_bytes", "_count", "_id")):
        return MASK
    if isinstance(value, Mapping):
        return {inner: _masked(inner, one) for inner, one in value.items()}
    return value
