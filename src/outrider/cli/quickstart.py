"""What catch mode sets up so that the first mail is one paste away: a key pair, a domain, a sender.

Only in catch mode, where nothing leaves the machine, the pair is also kept in `quickstart.json` in the data directory
(readable by its owner alone), so that `make run` can print a curl that works every time. Delete the file, or revoke the
key, and the next start makes a new pair. In the other modes nothing of this happens.
"""

import contextlib
import os
from typing import Final

import msgspec

from outrider.app import Services
from outrider.base.errors import ConfigError, UnauthenticatedError
from outrider.services.access import Credentials
from outrider.services.accounts import KeyPair

DOMAIN: Final = "shop.example"  # RFC 2606 §3: never a real one.
SENDER: Final = f"noreply@{DOMAIN}"
_NAME: Final = "Example Shop"
_FILE: Final = "quickstart.json"


async def ensure(services: Services) -> KeyPair:
    """Return the quick start's key pair, making whatever of it is missing. Safe twice."""
    project = await services.accounts.ensure_project()
    domains = [domain.name for domain in await services.identity.list_domains(project.project_id)]
    if domains in ([], [DOMAIN]):  # Both are safe twice; a crash may have come between them.
        await services.identity.add_domain(project.project_id, DOMAIN, is_verified=True)
        await services.identity.add_sender(project.project_id, SENDER, _NAME)
    pair = _read(services)
    if pair is not None:
        with contextlib.suppress(UnauthenticatedError):  # Revoked, or of an older database: make another.
            shown = Credentials(access_key_id=pair.access_key_id, access_key_secret=pair.access_key_secret)
            if (await services.access.authenticate(shown)).project_id == project.project_id:
                return pair
    pair = await services.accounts.create_key(project.project_id, "quickstart")
    _write(services, pair)
    return pair


def _read(services: Services) -> KeyPair | None:
    try:
        return msgspec.json.decode((services.context.config.data_path / _FILE).read_bytes(), type=KeyPair)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{services.context.config.data_path / _FILE} cannot be read ({error}); delete it."
        ) from error


def _write(services: Services, pair: KeyPair) -> None:
    path = services.context.config.data_path / _FILE
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(pair))
    draft.replace(path)
