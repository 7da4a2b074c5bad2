"""From what a peer said, or did not say, to what we make of it. Pure; the rules are data (`rules.toml`), not code.

A wrong retry costs a connection; a wrong bounce costs the customer a subscriber. So three things hold whatever the
rules say (tests/unit/policy/test_classify.py): only a 5xx at MAIL, RCPT, DATA or the final dot can bounce a message,
because before MAIL a refusal is about us; a 4xx and silence are temporary; what no rule explains is `unknown.hard` or
`unknown.soft`, which never suppress an address.

Order of evidence: the order of rules.toml. What a provider writes, then what everybody writes, then the enhanced
code, then the basic code with the phase it came in; then unknown. A rule with `needs_confirmation` bounces only what is
still so an hour after acceptance: name servers and mail servers are wrong for a while after every move.
"""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Final

import msgspec

from outrider.base import limits
from outrider.base.vocab import Fate, Phase
from outrider.policy.reason import Reason
from outrider.policy.rulefile import check_rules, compile_pattern, read_toml
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What we make of an answer. The only thing that moves a recipient to its next state."""

    fate: Fate
    reason: str  # A `Reason`. Customers see it; never free text.
    rule: str = ""  # The id of the rule that decided, "" if none did.
    is_ambiguous: bool = False  # The peer may have the message; a retry may be a duplicate.


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule of rules.toml. The first whose pattern is found, in one of its phases, decides."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
    reason: Reason
    pattern: str  # On "CODE ENHANCED TEXT", case ignored; ENHANCED is "-" if there is none.
    fate: Fate  # At worst: see the module's docstring for what is never bounced.
    phases: frozenset[Phase] = frozenset()  # Empty: any.
    needs_confirmation: bool = False
    source: str  # Where we have it from.
    seen_on: date  # When it was true.
    samples: tuple[str, ...]  # Replies that must reach exactly this rule (tests/tidy/test_rule_lint.py).


class _RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[Rule, ...]


DELIVERED: Final = Verdict(Fate.DELIVERED, Reason.ACCEPTED)
CONFIRM_AFTER_S: Final = 3600.0  # providers.md 2.2: a second look at least an hour after the first.
_ABOUT_THE_MESSAGE: Final = frozenset({Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT})
_SILENCE: Final = {
    Cause.TIMEOUT: Reason.NETWORK,
    Cause.REFUSED: Reason.NETWORK,
    Cause.RESET: Reason.NETWORK,
    Cause.UNREACHABLE: Reason.NETWORK,
    Cause.NO_HOST: Reason.NETWORK,
    Cause.TLS: Reason.TLS,
    Cause.PROTOCOL: Reason.PROTOCOL,
    Cause.UNSUPPORTED: Reason.PROTOCOL,
    Cause.TOO_LARGE: Reason.MAILBOX_TOO_LARGE,
    Cause.DNS_TEMPORARY: Reason.DNS_TEMP,
    Cause.DNS_NO_DOMAIN: Reason.RECIPIENT_DOMAIN_INVALID,
    Cause.DNS_NULL_MX: Reason.RECIPIENT_DOMAIN_INVALID,
    Cause.EXPIRED: Reason.EXPIRED,
    Cause.INTERNAL: Reason.INTERNAL,
}


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Read a rules file (TOML, a [[rule]] table each), in its order.

    Raises:
        ConfigError: not TOML, an unknown or missing key, an id used twice, a broken pattern; it says which.
    """
    rules = read_toml(text, _RuleFile, "The file of rules").rule
    check_rules(rules)
    return rules


class Classifier:
    """The rules, compiled. Immutable: one per process, shared by all conversations."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        compiled = [(compile_pattern(rule.pattern).search, rule) for rule in rules]
        self._rules: Final = {
            phase: [(search, rule) for search, rule in compiled if not rule.phases or phase in rule.phases]
            for phase in Phase
        }

    def judge(self, answer: Answer, *, attempt: int = 0, age_s: float = 0.0) -> Verdict:
        """Return the verdict on the last word about one recipient. Total: every answer has one.

        Args:
            answer: about that recipient.
            attempt: attempts that ended before this one.
            age_s: since the message was accepted.

        Cost: 0.1 us for a delivery; a search per rule, 10 to 100 us, for a refusal (2026-11).
        """
        reply = answer.reply
        if reply is not None and reply.code // 100 == 2 and answer.phase is Phase.DOT:
            return DELIVERED
        is_confirmed = attempt >= 1 and age_s >= CONFIRM_AFTER_S
        if reply is None:
            return _judge_silence(answer, is_confirmed=is_confirmed)
        if reply.severity < 4:  # A yes to something else than the message, or a 354 where none was due.
            return Verdict(Fate.DEFERRED, Reason.PROTOCOL)
        can_bounce = reply.severity == 5 and answer.phase in _ABOUT_THE_MESSAGE
        line = line_of(reply).lower()
        for search, rule in self._rules[answer.phase]:
            if search(line):
                is_final = can_bounce and (is_confirmed or not rule.needs_confirmation)
                return Verdict(rule.fate if is_final else Fate.DEFERRED, rule.reason, rule.id)
        if can_bounce:
            return Verdict(Fate.BOUNCED, Reason.UNKNOWN_HARD)
        return Verdict(Fate.DEFERRED, Reason.UNKNOWN_SOFT)


def line_of(reply: Reply) -> str:
    """Return what the patterns are matched on: one line, bounded, "550 5.1.1 no such user"."""
    text = reply.text[: limits.REPLY_TEXT_CHARS_KEPT_MAX].replace("\n", " ")
    return f"{reply.code} {reply.enhanced or '-'} {text}"


def _judge_silence(answer: Answer, *, is_confirmed: bool) -> Verdict:
    """Judge an answer without a reply. Ambiguity is always temporary: a duplicate is better than a loss."""
    cause = answer.cause
    assert cause is not None
    if answer.is_ambiguous:
        return Verdict(Fate.DEFERRED, _SILENCE[cause], is_ambiguous=True)
    match cause:
        case Cause.DNS_NULL_MX:
            return Verdict(Fate.BOUNCED, Reason.RECIPIENT_DOMAIN_INVALID)
        case Cause.DNS_NO_DOMAIN:
            return Verdict(Fate.BOUNCED if is_confirmed else Fate.DEFERRED, Reason.RECIPIENT_DOMAIN_INVALID)
        case Cause.NO_HOST if answer.phase is Phase.ROUTE:  # Its mail hosts do not exist, or are private, or us.
            return Verdict(Fate.BOUNCED if is_confirmed else Fate.DEFERRED, Reason.RECIPIENT_DOMAIN_INVALID)
        case Cause.TOO_LARGE:
            return Verdict(Fate.BOUNCED, Reason.MAILBOX_TOO_LARGE)
        case Cause.UNSUPPORTED if answer.phase in _ABOUT_THE_MESSAGE:  # Without SMTPUTF8 it cannot have that mailbox.
            return Verdict(Fate.BOUNCED, Reason.RECIPIENT_POLICY)
        case _:  # Temporary, causes added later too.
            return Verdict(Fate.DEFERRED, _SILENCE[cause])
