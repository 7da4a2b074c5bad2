"""The vocabulary of verdicts."""

from typing import Final

import pytest

from outrider.policy.reason import Action, Reason, Scope, action_of, scope_of

# fmt: off
FROZEN: Final = frozenset({
    "accepted", "recipient.invalid", "recipient.domain_invalid", "recipient.disabled", "recipient.moved",
    "recipient.full", "recipient.rate", "recipient.policy", "mailbox.too_large", "content.spam", "content.virus",
    "content.attachment", "content.url", "sender.auth", "sender.invalid", "ip.reputation", "ip.ptr", "rate.provider",
    "rate.connections", "greylist", "tls", "network", "dns.temp", "protocol", "relay_denied", "policy.other",
    "unknown.hard", "unknown.soft", "internal", "expired", "recipient.challenge", "auto_reply",
    "complaint", "unsubscribe",
})
# fmt: on


def test_a_reason_is_its_own_text() -> None:
    assert str(Reason.RECIPIENT_FULL) == "recipient.full"
    assert f"{Reason.GREYLIST}" == "greylist"
    assert {"tls": 1}[Reason.TLS] == 1


def test_the_words_are_frozen() -> None:
    """Customers filter by them. Add new ones at will; a word that is gone or spelt anew breaks somebody."""
    assert {reason.value for reason in Reason} >= FROZEN


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_somebody_at_fault_and_something_done(reason: Reason) -> None:
    assert isinstance(scope_of(reason), Scope)
    assert isinstance(action_of(reason), Action)


def test_every_scope_and_action_is_in_use() -> None:
    assert {scope_of(reason) for reason in Reason} == set(Scope)
    assert {action_of(reason) for reason in Reason} == set(Action)


@pytest.mark.parametrize(
    ("word", "scopes"),
    [
        ("recipient", {Scope.RECIPIENT}),
        ("content", {Scope.CONTENT}),
        ("sender", {Scope.SENDER}),
        ("ip", {Scope.SOURCE}),
        ("rate", {Scope.SOURCE}),
        ("unknown", {Scope.UNKNOWN}),
    ],
)
def test_the_part_before_the_dot_is_one_scope(word: str, scopes: set[Scope]) -> None:
    assert {scope_of(reason) for reason in Reason if reason.startswith(f"{word}.")} == scopes


def test_only_what_a_person_did_or_lacks_suppresses_at_once() -> None:
    at_once = {reason for reason in Reason if action_of(reason) is Action.SUPPRESS}
    assert {scope_of(reason) for reason in at_once} == {Scope.RECIPIENT}
