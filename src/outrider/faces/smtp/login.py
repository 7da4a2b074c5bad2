"""Who hands in mail: a key with its secret, or a network that an operator has bound to a key. Judged as the API does.

Login.begin      AUTH: name and password; the answer to a wrong one waits, and who guesses is banned
Login.trusted    without AUTH, for listed networks
Login.again      for each transaction: the key may be over, or changed, since; it spends one call of its rate
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from outrider.base.clock import Clock
from outrider.base.errors import ForbiddenError, LimitReachedError, OutriderError, UnauthenticatedError
from outrider.base.networks import Network, contain
from outrider.base.vocab import KeyScope
from outrider.faces.smtp import errors
from outrider.obs.log import Logger
from outrider.obs.metrics import Metrics
from outrider.policy.guesses import Guesses
from outrider.services.access import Allowance, Caller, Credentials

BANNED: Final = "421 4.7.0 Too many wrong passwords from your address; try again later"


class Access(Protocol):
    """`services.access`."""

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Return who shows these credentials. Raises UnauthenticatedError, ForbiddenError, StoreUnavailableError."""

    async def trust(self, access_key_id: str, client: str) -> Caller:
        """Return the caller that the key makes, its secret unseen. Raises as `authenticate`."""

    def spend(self, caller: Caller) -> Allowance:
        """Count one call of the caller's key. Raises LimitReachedError."""


class Proof(msgspec.Struct, frozen=True):
    """What somebody has shown, kept for the next transactions of its connection."""

    access_key_id: str
    credentials: Credentials | None  # None: its network is trusted.


class Refused(msgspec.Struct, frozen=True):
    """The reply to who may not."""

    reply: str


class Login:
    """Judges for all connections of a process."""

    def __init__(
        self,
        access: Access,
        networks: Sequence[tuple[Network, str]],
        *,
        clock: Clock,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        """`networks`: ranges, each with the access key id that it is bound to."""
        self._access: Final = access
        self._networks: Final = networks
        self._guesses: Final = Guesses()
        self._clock: Final = clock
        self._log: Final = log
        self._failed: Final = metrics.logins_failed

    def is_banned(self, client: str) -> bool:
        """Whether nobody listens to that address now."""
        is_banned = self._guesses.ban_s(client, self._clock.monotonic_s()) > 0.0
        if is_banned:
            self._failed.labels(reason="banned").inc()
        return is_banned

    def trusted(self, client: str) -> Proof | None:
        """Return what a client of a listed network has by that alone, None for all others."""
        for network, access_key_id in self._networks:
            if contain((network,), client):
                return Proof(access_key_id, None)
        return None

    async def begin(self, username: str, password: str, client: str) -> Proof | Refused:
        """Return the proof, or what to say; then a wrong answer has waited already."""
        if self.is_banned(client):
            return Refused(BANNED)
        shown = Credentials(access_key_id=username, access_key_secret=password, client=client)
        try:
            caller = await self._access.authenticate(shown)
            caller.require(KeyScope.SEND)
        except UnauthenticatedError as error:
            self._failed.labels(reason="wrong").inc()
            digest = hashlib.sha256(f"{username}\0{password}".encode("utf-8", "surrogatepass")).digest()
            delay_s = self._guesses.failed(client, digest, self._clock.monotonic_s())
            self._log.warning("smtp_login_failed", client=client, access_key_id=username[:64])
            await self._clock.sleep(delay_s)
            return Refused(errors.login_reply(error))
        except ForbiddenError as error:
            self._failed.labels(reason="forbidden").inc()
            return Refused(errors.login_reply(error))
        except OutriderError as error:
            return Refused(errors.login_reply(error))
        self._guesses.succeeded(client)
        return Proof(caller.access_key_id, shown)

    async def again(self, proof: Proof, client: str) -> Caller | Refused:
        """Return who it is now, and count a transaction; or what to say."""
        try:
            if proof.credentials is None:
                caller = await self._access.trust(proof.access_key_id, client)
            else:
                caller = await self._access.authenticate(proof.credentials)
            caller.require(KeyScope.SEND)
            self._access.spend(caller)
        except LimitReachedError as error:
            return Refused(errors.rate_reply(error))
        except UnauthenticatedError:
            return Refused("530 5.7.0 The key is over; log in with another")
        except OutriderError as error:
            return Refused(errors.reply(error))
        return caller
