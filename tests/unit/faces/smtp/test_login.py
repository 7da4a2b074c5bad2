"""Who hands in mail, asked of `Login` alone; over sockets tests/unit/faces/smtp/test_submission.py asks it again."""

import pytest

from outrider.base import networks
from outrider.base.errors import ForbiddenError, LimitReachedError, OutriderError, StoreUnavailableError
from outrider.faces.smtp.login import Login, Proof, Refused
from outrider.obs.metrics import Metrics
from outrider.services.access import Caller
from outrider.testing.clock import RealClock
from outrider.testing.engineroom import Journal
from tests.unit.faces.smtp.relay_room import SECRET, USER, Keys

CLIENT = "192.0.2.7"


def made(keys: Keys, *ranges: str) -> Login:
    listed = [(networks.parse(one), f"key of {one}") for one in ranges]
    return Login(keys, listed, clock=RealClock(), log=Journal().logger, metrics=Metrics())


async def test_the_right_pair_is_shown_again_for_each_transaction() -> None:
    keys = Keys()
    login = made(keys)
    proof = await login.begin(USER, SECRET, CLIENT)
    assert isinstance(proof, Proof)
    assert SECRET not in repr(proof)
    assert isinstance(await login.again(proof, CLIENT), Caller)
    assert [(one.access_key_secret, one.client) for one in keys.shown] == [(SECRET, CLIENT)] * 2


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("10.1.2.3", "key of 10.0.0.0/8"),
        ("::ffff:10.1.2.3", "key of 10.0.0.0/8"),
        ("2001:db8::5", "key of 2001:db8::/32"),
    ],
)
async def test_the_first_listed_network_that_holds_a_client_says_whose_it_is(client: str, key: str) -> None:
    keys = Keys()
    login = made(keys, "10.0.0.0/8", "2001:db8::/32", "10.1.0.0/16")
    proof = login.trusted(client)
    assert proof == Proof(key, None)
    assert isinstance(await login.again(proof, client), Caller)
    assert keys.trusted == [(key, client)]


@pytest.mark.parametrize("client", ["11.0.0.1", "", "10.0.0.0/8", "localhost"])
def test_nobody_else_is_trusted(client: str) -> None:
    assert made(Keys(), "10.0.0.0/8").trusted(client) is None
    assert made(Keys()).trusted(client) is None


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (LimitReachedError("2 a minute.", retry_after_s=1), "451 4.7.1 2 a minute."),
        (ForbiddenError("Not from there."), "550 5.7.1 Not from there."),
        (StoreUnavailableError("away"), "451 4.3.0 The mail could not be stored; try again later"),
    ],
)
async def test_a_transaction_that_may_not_be(error: OutriderError, reply: str) -> None:
    keys = Keys()
    login = made(keys)
    proof = await login.begin(USER, SECRET, CLIENT)
    assert isinstance(proof, Proof)
    keys.spend_error = error
    assert await login.again(proof, CLIENT) == Refused(reply)
