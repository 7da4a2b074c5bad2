"""Real programs for the end-to-end tests: each in a short data directory that is removed, whatever happens."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from outrider.testing.api import Api
from outrider.testing.postgres import make_folder
from outrider.testing.program import Key, Program
from outrider.testing.sink_client import RunningSink


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a directory with a short path: a socket's path has 107 bytes, pytest's own directories are longer."""
    path = make_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """Yield such a directory for a whole module."""
    path = make_folder()
    yield path
    shutil.rmtree(path)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def caught() -> AsyncIterator[Program]:
    """Yield a program in catch mode, running, for the whole session. Tests leave their mail in it, but nothing held."""
    folder = make_folder()
    async with Program(folder / "node") as program:
        await program.start()
        yield program
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sink() -> AsyncIterator[RunningSink]:
    """Yield a sink with STARTTLS for a whole module."""
    async with RunningSink.start(has_tls=True, lifetime_s=300.0) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def looked_after(caught: Program) -> Api:
    """Return a caller of the API with every scope, of a project of its own that has a verified domain, mine.example."""
    await caught.command_json("domain", "add", "mine.example", "--verified", "--project", "mine")
    key = await caught.command_json("key", "create", "--project", "mine")
    return Api(caught, msgspec.convert(key, Key))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stranger(caught: Program) -> Api:
    """Return the same of another project, with theirs.example."""
    await caught.command_json("domain", "add", "theirs.example", "--verified", "--project", "theirs")
    key = await caught.command_json("key", "create", "--project", "theirs")
    return Api(caught, msgspec.convert(key, Key))
