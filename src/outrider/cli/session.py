"""What one command needs: settings, database, services; opened, used, closed.

Works whether or not the server runs: with the embedded database the command joins the server that is there, or starts
one and stops it again. Errors of ours become one sentence on stderr and an exit code of sysexits.h.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeVar
from uuid import UUID

from outrider.app import Services, make_context, make_services
from outrider.base.errors import CallerError, ConfigError, OutriderError, StoreError
from outrider.config import Config, load
from outrider.database import open_database
from outrider.engine.explain import Explainer
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings

EXIT_DATA: Final = 65  # sysexits.h EX_DATAERR.
EXIT_UNAVAILABLE: Final = 69  # EX_UNAVAILABLE.
EXIT_SOFTWARE: Final = 70  # EX_SOFTWARE.
EXIT_CONFIG: Final = 78  # EX_CONFIG.
Result = TypeVar("Result")


def run(work: Callable[[Services], Awaitable[Result]]) -> Result:
    """Open what a command needs, run `work`, close it again. Ends the program on an error of ours."""

    async def _run() -> Result:
        config = load(os.environ)
        log = make_logger(LogSettings(level="warning"), "cli")
        async with open_database(config, say) as database:
            context = make_context(config, database.dsn, log)
            async with context.store() as store:
                return await work(make_services(context, store))

    try:
        return asyncio.run(_run())
    except OutriderError as error:
        fail(error)


def run_in(project: str, work: Callable[[Services, UUID], Awaitable[Result]]) -> Result:
    """Like `run`, for what is done in one project: `work` gets its id too."""

    async def _in_project(services: Services) -> Result:
        found = await services.accounts.project(project)
        return await work(services, found.project_id)

    return run(_in_project)


def explainer(services: Services) -> Explainer:
    """Return who answers why mail waits."""
    return Explainer(services.store, clock=services.context.clock)


def parse_session(text: str) -> UUID:
    """Return the id of a session. Raises CallerError."""
    try:
        return UUID(text)
    except ValueError as error:
        raise CallerError("A session is a UUID, such as the API's SessionNo.", field="session") from error


def settings() -> Config:
    """Return the settings, for commands that need no database. Ends the program if they are wrong."""
    try:
        return load(os.environ)
    except ConfigError as error:
        fail(error)


def fail(error: OutriderError) -> NoReturn:
    """Say what went wrong and end the program."""
    cause = error.detail.get("cause") or error.detail.get("log")
    # Where in a list, or below what: the sentence alone would not say.
    place = f"{error.field}: " if isinstance(error, CallerError) and set(error.field) & set("[.") else ""
    sys.stderr.write(f"outrider: {place}{error.public}\n" + (f"  {cause}\n" if cause else ""))
    match error:
        case ConfigError():
            code = EXIT_CONFIG
        case CallerError():
            code = EXIT_DATA
        case StoreError():
            code = EXIT_UNAVAILABLE
        case _:
            code = EXIT_SOFTWARE
    raise SystemExit(code)


def say(sentence: str) -> None:
    """Tell people on stderr what takes long."""
    sys.stderr.write(f"outrider: {sentence}\n")
