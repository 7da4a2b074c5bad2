"""The vocabulary of verdicts."""

from typing import Final

from outrider.policy.reason import Reason

# fmt: off
FROZEN: Final = frozenset({
    "accepted", "recipient.invalid", "recipient.domain_invalid", "recipient.disabled", "recipient.moved",
    "recipient.full", "recipient.rate", "recipient.policy", "mailbox.too_large", "content.spam", "content.virus",
    "content.attachment", "content.url", "sender.auth", "sender.invalid", "ip.reputation", "ip.ptr", "rate.provider",
    "rate.connections", "greylist", "tls", "network", "dns.temp", "protocol", "relay_denied", "policy.other",
    "unknown.hard", "unknown.soft", "internal",
})
# fmt: on


def test_a_reason_is_its_own_text() -> None:
    assert str(Reason.RECIPIENT_FULL) == "recipient.full"
    assert f"{Reason.GREYLIST}" == "greylist"
    assert {"tls": 1}[Reason.TLS] == 1


def test_the_words_are_frozen() -> None:
    """Customers filter by them. Add new ones at will; a word that is gone or spelt anew breaks somebody."""
    assert {reason.value for reason in Reason} >= FROZEN
