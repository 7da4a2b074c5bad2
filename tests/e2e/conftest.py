"""Real programs for the end-to-end tests: each in a short data directory that is removed, whatever happens."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio

from outrider.net.selfsigned import SelfSigned
from outrider.testing.api import Api
from outrider.testing.countries import written
from outrider.testing.postgres import make_folder
from outrider.testing.program import Key, Program, free_ports
from outrider.testing.sink_client import RunningSink

TRACKED_HOSTS = ("t.one.example", "t.two.example")
TRACKING = {"OUTRIDER_TRACKING__CERTIFICATES": "hosts", "OUTRIDER_TRACKING__COUNTRY_FILE": "where.mmdb"}


def put_tracking_files(data_dir: Path) -> None:
    """Write a certificate for each of two tracking hosts, and a file by which this machine is in Germany."""
    folder = data_dir / "hosts"
    data_dir.mkdir(mode=0o700)
    folder.mkdir()
    for host in TRACKED_HOSTS:
        made = SelfSigned(host)
        (folder / f"{host}.crt").write_text(made.pem)
        (folder / f"{host}.key").write_text(made.key_and_pem)
    (data_dir / "where.mmdb").write_bytes(written({"127.0.0.0/8": "DE"}))


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
    (port,) = free_ports(1)
    async with Program(
        folder / "node", env=TRACKING | {"OUTRIDER_TRACKING__TLS_LISTEN": f"127.0.0.1:{port}"}
    ) as program:
        program.ports["TRACKING"] = port
        put_tracking_files(program.data_dir)
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


@pytest_asyncio.fixture(loop_scope="session")
async def writer(caught: Program) -> Api:
    """Return a caller of a project that has a sender and no template."""
    name = f"writer{uuid4().hex[:12]}"
    await caught.command_json("domain", "add", f"{name}.example", "--verified", "--project", name)
    api = Api(caught, msgspec.convert(await caught.command_json("key", "create", "--project", name), Key))
    await api.post("/senders", {"address": f"news@{name}.example", "name": "News"})
    return api
