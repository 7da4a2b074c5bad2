"""The quick start makes what is missing, whatever an earlier start left, and keeps its pair to its owner."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from outrider.app import Services
from outrider.base.errors import ConfigError, UnauthenticatedError
from outrider.cli import quickstart
from outrider.services.access import Caller, Credentials
from outrider.services.accounts import KeyPair

PROJECT = UUID(int=5)


class Fake:
    """The project, keys, domains and senders of one database."""

    def __init__(self) -> None:
        self.pairs: dict[str, str] = {}
        self.domains: dict[str, bool] = {}
        self.senders: list[str] = []
        self.project_of_keys = PROJECT
        self.crash_after_domain = False

    async def ensure_project(self) -> Any:
        return SimpleNamespace(project_id=PROJECT)

    async def create_key(self, _: UUID, name: str) -> KeyPair:
        pair = KeyPair(f"{len(self.pairs):032x}", f"secret {len(self.pairs)}", name)
        self.pairs[pair.access_key_id] = pair.access_key_secret
        return pair

    async def authenticate(self, credentials: Credentials) -> Caller:
        if self.pairs.get(credentials.access_key_id) != credentials.access_key_secret:
            raise UnauthenticatedError("No.")
        return Caller(project_id=self.project_of_keys, access_key_id=credentials.access_key_id)

    async def list_domains(self, _: UUID) -> Any:
        return [SimpleNamespace(name=name) for name in self.domains]

    async def add_domain(self, _: UUID, name: str, *, is_verified: bool) -> None:
        self.domains[name] = is_verified
        if self.crash_after_domain:
            raise KeyboardInterrupt

    async def add_sender(self, _: UUID, text: str, name: str) -> None:
        if text not in self.senders:
            self.senders.append(text)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def services(fake: Fake, tmp_path: Path) -> Services:
    config = SimpleNamespace(data_path=tmp_path)
    made = SimpleNamespace(context=SimpleNamespace(config=config), access=fake, accounts=fake, identity=fake)
    return cast("Services", made)


async def test_everything_is_made_once(services: Services, fake: Fake, tmp_path: Path) -> None:
    first = await quickstart.ensure(services)
    assert await quickstart.ensure(services) == first
    assert fake.domains == {"shop.example": True}
    assert fake.senders == ["noreply@shop.example"]
    assert len(fake.pairs) == 1
    path = tmp_path / "quickstart.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["quickstart.json"]


async def test_a_revoked_or_foreign_pair_is_replaced(services: Services, fake: Fake) -> None:
    first = await quickstart.ensure(services)
    fake.pairs.clear()
    fake.pairs["other"] = "x"
    second = await quickstart.ensure(services)
    assert second != first
    assert await quickstart.ensure(services) == second
    fake.project_of_keys = UUID(int=6)
    assert await quickstart.ensure(services) != second


async def test_a_crash_between_domain_and_sender_is_made_good(services: Services, fake: Fake) -> None:
    fake.crash_after_domain = True
    with pytest.raises(KeyboardInterrupt):
        await quickstart.ensure(services)
    fake.crash_after_domain = False
    await quickstart.ensure(services)
    assert fake.senders == ["noreply@shop.example"]


async def test_who_has_a_domain_of_their_own_is_left_alone(services: Services, fake: Fake) -> None:
    fake.domains["mine.example"] = True
    await quickstart.ensure(services)
    assert fake.domains == {"mine.example": True}
    assert fake.senders == []


async def test_a_file_that_cannot_be_read_says_so(services: Services, tmp_path: Path) -> None:
    (tmp_path / "quickstart.json").write_text("{")
    with pytest.raises(ConfigError, match="delete it"):
        await quickstart.ensure(services)
