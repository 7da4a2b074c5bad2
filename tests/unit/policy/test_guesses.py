"""Who guesses passwords waits, then is not listened to; a program with an old password only waits."""

import pytest

from outrider.policy import guesses
from outrider.policy.guesses import BAN_S, DELAY_S_MAX, TRIES_COUNT_MAX, WINDOW_S, Guesses, client_of

CLIENT = "203.0.113.7"


def pair(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_each_wrong_answer_waits_longer_up_to_a_bound() -> None:
    known = Guesses()
    delays = [known.failed(CLIENT, pair(1), 0.0) for _ in range(30)]
    assert delays[:3] == [0.5, 1.0, 2.0]
    assert delays == sorted(delays)
    assert delays[-1] == DELAY_S_MAX


def test_different_pairs_ban_and_the_same_one_does_not() -> None:
    known = Guesses()
    for _ in range(100):
        known.failed(CLIENT, pair(1), 0.0)
    assert known.ban_s(CLIENT, 0.0) == 0.0
    for number in range(2, TRIES_COUNT_MAX + 1):
        known.failed(CLIENT, pair(number), 1.0)
    assert known.ban_s(CLIENT, 1.0) == BAN_S
    assert known.ban_s("203.0.113.8", 1.0) == 0.0
    assert known.ban_s(CLIENT, 1.0 + BAN_S) == 0.0


def test_old_tries_do_not_count_and_a_ban_outlasts_them() -> None:
    known = Guesses()
    for number in range(TRIES_COUNT_MAX - 1):
        known.failed(CLIENT, pair(number), 0.0)
    known.failed(CLIENT, pair(99), WINDOW_S + 1)
    assert known.ban_s(CLIENT, WINDOW_S + 1) == 0.0
    for number in range(TRIES_COUNT_MAX):
        known.failed(CLIENT, pair(number), WINDOW_S + 2)
    known.failed(CLIENT, pair(1), 2 * WINDOW_S + 3)
    assert known.ban_s(CLIENT, 2 * WINDOW_S + 3) == pytest.approx(BAN_S - WINDOW_S - 1)


def test_a_right_answer_forgives() -> None:
    known = Guesses()
    for number in range(TRIES_COUNT_MAX):
        known.failed(CLIENT, pair(number), 0.0)
    known.succeeded(CLIENT)
    assert known.ban_s(CLIENT, 0.0) == 0.0
    assert known.failed(CLIENT, pair(1), 0.0) == guesses.DELAY_FIRST_S


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_what_counts_as_one_client(address: str, client: str) -> None:
    assert client_of(address) == client


def test_many_clients_are_forgotten_the_oldest_first() -> None:
    known = Guesses()
    for number in range(TRIES_COUNT_MAX):
        known.failed(CLIENT, pair(number), 0.0)
    for number in range(10_000):
        known.failed(f"client {number}", pair(1), 0.0)
    assert known.ban_s(CLIENT, 0.0) == 0.0
