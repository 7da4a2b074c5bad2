"""From what a peer said, or did not say, to what we make of it. Pure; the rules are data (`rules.toml`), not code.

A wrong retry costs a connection; a wrong bounce costs the customer a subscriber. So three things hold whatever the
rules say (tests/unit/policy/test_classify.py): only a 5xx at MAIL, RCPT, DATA or the final dot can bounce a message,
because before MAIL a refusal is about us; a 4xx and silence are temporary; what no rule explains is `unknown.hard` or
`unknown.soft`, which never suppress an address.

Order of evidence: the order of rules.toml. What a provider writes, then what everybody writes, then the enhanced
code, then the basic code with the phase it came in; then unknown. A rule with `needs_confirmation` bounces only what is
still so an hour after acceptance: name servers and mail servers are wrong for a while after every move.

A report (DSN) is judged by the same rules, without those that need to know the phase, unless its text names it. So the
basic code alone never decides there: who wrote 550 may have meant the person, the content or us.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Annotated, Final, NamedTuple

import msgspec

from outrider.base import limits
from outrider.base.errors import ConfigError, RemoteProtocolError
from outrider.base.vocab import Fate, Phase
from outrider.mail import dsn
from outrider.policy.reason import Reason
from outrider.policy.rulefile import Needles, check_rules, compile_pattern, needles_of, read_toml
from outrider.wire.answer import Answer, Cause
from outrider.wire.reply import Reply, parse_reply


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What we make of an answer. The only thing that moves a recipient to its next state."""

    fate: Fate
    reason: str  # A `Reason`. Customers see it; never free text.
    rule: str = ""  # The id of the rule that decided, "" if none did.
    is_ambiguous: bool = False  # The peer may have the message; a retry may be a duplicate.
    rules_version: str = ""  # Of the rules that were asked; "" where none was: a delivery, silence.


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule of rules.toml. The first whose pattern is found, in one of its phases, decides."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
    reason: Reason
    pattern: str  # On "CODE ENHANCED TEXT", case ignored; ENHANCED is "-" if there is none.
    fate: Fate  # At worst: see the module's docstring for what is never bounced.
    phases: frozenset[Phase] = frozenset()  # Empty: any.
    needs_confirmation: bool = False
    needs_phase: bool = False  # It reads the basic code alone: not for reports that do not say in which phase it came.
    source: str  # Where we have it from.
    seen_on: date  # When it was true.
    samples: tuple[str, ...]  # Replies that must reach exactly this rule (tests/tidy/test_rule_lint.py).


class _RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[Rule, ...]


class _Compiled(NamedTuple):
    needles: frozenset[str]  # The line has one of them, or the pattern is not found; empty: it must be searched for.
    search: Callable[[str], re.Match[str] | None]
    rule: Rule


DELIVERED: Final = Verdict(Fate.DELIVERED, Reason.ACCEPTED)
CONFIRM_AFTER_S: Final = 3600.0  # providers.md 2.2: a second look at least an hour after the first.
_ABOUT_THE_MESSAGE: Final = frozenset({Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT})
_REPORTED_PHASES: Final = frozenset({Phase.RCPT, Phase.DOT})  # A report without a phase: what holds in both.
_VERSION_HEX_CHARS: Final = 12
# How software names the phase in a report: Postfix (bounce(8)), Exim (remote_smtp), Sendmail (>>> lines).
_PHASE_SAID: Final = (
    (
        Phase.MAIL,
        re.compile(r"in reply to mail from command|after (pipelined )?mail from|>>> mail from", re.IGNORECASE),
    ),
    (Phase.RCPT, re.compile(r"in reply to rcpt to command|after (pipelined )?rcpt to|>>> rcpt to", re.IGNORECASE)),
    (
        Phase.DOT,
        re.compile(r"in reply to (end of )?data command|after (end of data|(pipelined )?data)|>>> data", re.IGNORECASE),
    ),
)
_SAID_BY: Final = re.compile(
    r"\s*(smtp|lmtp|x-[a-z0-9-]+)\s*;\s*", re.IGNORECASE
)  # Diagnostic-Code begins with its type.
_CODES: Final = re.compile(r"(?<![\d.])([45]\d\d)(?:[ -]+#?(?:([45]\.\d{1,3}\.\d{1,3})(?![\d.]))?|$)")
_HASHED_ENHANCED: Final = re.compile(r"\(#([45]\.\d{1,3}\.\d{1,3})\b")  # qmail's, at the end of what it says.
_LOOSE_ENHANCED: Final = re.compile(r"(?:^|#)([45]\.\d{1,3}\.\d{1,3})(?![\d.])")  # qmail writes (#5.1.1).
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
    Cause.SUPPRESSED: Reason.POLICY_OTHER,  # Its record says the reason of the suppression (`engine.deliver`).
    Cause.INTERNAL: Reason.INTERNAL,
}


def parse_rules(text: str, title: str = "The file of rules") -> tuple[Rule, ...]:
    """Read a rules file (TOML, a [[rule]] table each), in its order; `title` names it in complaints.

    Raises:
        ConfigError: not TOML, an unknown or missing key, an id used twice, a broken pattern; it says which, of which
            rule.
    """
    rules = read_toml(text, _RuleFile, title).rule
    check_rules(rules)
    return rules


def parse_own_rules(text: str, title: str) -> tuple[Rule, ...]:
    """Read an operator's file of rules. As `parse_rules`, and each sample must reach its rule.

    Raises:
        ConfigError: names the rule.
    """
    rules = parse_rules(text, title)
    classifier = Classifier(rules)
    for rule in rules:
        for sample in rule.samples:
            try:
                reply = parse_reply([line.encode() for line in sample.split("\n")])
            except RemoteProtocolError as error:
                raise ConfigError(f"{title}: a sample of rule {rule.id} is no reply: {sample!r}.") from error
            for phase in rule.phases or {Phase.RCPT}:
                if (reached := classifier.judge(Answer(phase, reply)).rule) != rule.id:
                    other = f"rule {reached}, which stands before it" if reached else "none"
                    raise ConfigError(f"{title}: a sample of rule {rule.id} reaches {other}: {sample!r}.")
    return rules


def merged(own: Sequence[Rule], ours: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules in the order in which they are asked: an operator's first; one of the same id replaces ours."""
    replaced = {rule.id for rule in own}
    return (*own, *(rule for rule in ours if rule.id not in replaced))


class Classifier:
    """The rules, compiled. Immutable: one per process, shared by all conversations."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        compiled = [_Compiled(needles_of(rule.pattern), compile_pattern(rule.pattern).search, rule) for rule in rules]
        self.rules_version: Final = version_of(rules)
        self._rules: Final = {
            phase: [one for one in compiled if not one.rule.phases or phase in one.rule.phases] for phase in Phase
        }
        self._reported: Final = [
            one
            for one in compiled
            if not one.rule.needs_phase and (not one.rule.phases or one.rule.phases >= _REPORTED_PHASES)
        ]
        self._needles: Final = Needles(needle for one in compiled for needle in one.needles)

    def judge(self, answer: Answer, *, attempt: int = 0, age_s: float = 0.0) -> Verdict:
        """Return the verdict on the last word about one recipient. Total: every answer has one.

        Args:
            answer: about that recipient.
            attempt: attempts that ended before this one.
            age_s: since the message was accepted.

        Cost: 0.1 us for a delivery. A refusal: 35 us the median of tests/data/replies.toml, 0.4 ms the slowest there,
        5 ms one made to hurt (2026-11, 133 rules). Without needles: 1.2 ms for one that no rule explains.
        """
        reply = answer.reply
        if reply is not None and reply.code // 100 == 2 and answer.phase is Phase.DOT:
            return DELIVERED
        is_confirmed = attempt >= 1 and age_s >= CONFIRM_AFTER_S
        if reply is None:
            return _judge_silence(answer, is_confirmed=is_confirmed)
        if reply.severity < 4:  # A yes to something else than the message, or a 354 where none was due.
            return Verdict(Fate.DEFERRED, Reason.PROTOCOL)
        if not reply.enhanced and (hashed := _HASHED_ENHANCED.search(reply.text)):
            reply = msgspec.structs.replace(reply, enhanced=hashed[1])
        can_bounce = reply.severity == 5 and answer.phase in _ABOUT_THE_MESSAGE
        return self._decide(self._rules[answer.phase], reply, can_bounce=can_bounce, is_confirmed=is_confirmed)

    def judge_report(self, code: int, enhanced: str, text: str) -> Verdict:
        """Return the verdict on one recipient of a report that came later, by mail. Total.

        Its author has given up, so nothing needs to be confirmed. `BOUNCED` means that it was refused for good;
        `DEFERRED` that the last word was a temporary one, however final the report.

        Args:
            code: the reply code; 0 where the report has none. The text is looked through then.
            enhanced: of the Status field, "5.1.1"; "" where there is none. One in the text is nearer to the server.
            text: the Diagnostic-Code field, or what stands in its place; its type ("smtp;") may be there. What stands
                behind `dsn.ASIDE` decides only where what stands before it does not.
        """
        reply, is_permanent = _read_diagnosis(code, enhanced, text)
        phase = next((phase for phase, said in _PHASE_SAID if said.search(text)), None)
        rules = self._reported if phase is None else self._rules[phase]
        # "It was rejected by the recipient domain", writes Google about whatever the server said: it is asked second.
        said = msgspec.structs.replace(reply, text=reply.text.partition(dsn.ASIDE)[0])
        verdict = self._decide(rules, said, can_bounce=is_permanent, is_confirmed=True)
        if verdict.rule or said.text == reply.text:
            return verdict
        return self._decide(rules, reply, can_bounce=is_permanent, is_confirmed=True)

    def _decide(self, rules: Iterable[_Compiled], reply: Reply, *, can_bounce: bool, is_confirmed: bool) -> Verdict:
        line = line_of(reply).lower()
        present = self._needles.found_in(line)
        for needles, search, rule in rules:
            if needles and needles.isdisjoint(present):
                continue
            if search(line):
                is_final = can_bounce and (is_confirmed or not rule.needs_confirmation)
                fate = rule.fate if is_final else Fate.DEFERRED
                return Verdict(fate, rule.reason, rule.id, rules_version=self.rules_version)
        if can_bounce:
            return Verdict(Fate.BOUNCED, Reason.UNKNOWN_HARD, rules_version=self.rules_version)
        return Verdict(Fate.DEFERRED, Reason.UNKNOWN_SOFT, rules_version=self.rules_version)


def version_of(rules: Sequence[Rule]) -> str:
    """Return a short name for exactly these rules, in this order: what was judged by others may be judged anew."""
    return hashlib.sha256(msgspec.json.encode(rules, order="deterministic")).hexdigest()[:_VERSION_HEX_CHARS]


def line_of(reply: Reply) -> str:
    """Return what the patterns are matched on: one line, bounded, "550 5.1.1 no such user"."""
    text = reply.text[: limits.REPLY_TEXT_CHARS_KEPT_MAX].replace("\n", " ")
    return f"{reply.code} {reply.enhanced or '-'} {text}"


def _read_diagnosis(code: int, enhanced: str, text: str) -> tuple[Reply, bool]:
    """Put a diagnosis together as the server said it; and whether it was for good.

    Gateways fold a reply of many lines into one, its codes inside ("does 550-5.1.1 not exist"): they are taken out,
    else no pattern would match across them. A code that nobody said is 550 or 450: those two decide nothing alone.
    """
    is_permanent = code // 100 in (0, 5) and not enhanced.startswith("4")
    text = _SAID_BY.sub("", text[: limits.REPLY_TEXT_CHARS_KEPT_MAX], count=1).lstrip()
    said = _CODES.search(text)
    if said is not None and (code == 0 or int(said[1]) == code):
        code, enhanced = int(said[1]), said[2] or enhanced
        head, rest = text[: said.start()], text[said.start() :]
        if head.rstrip().endswith(
            ":"
        ):  # "host mx.corp.example [192.0.2.25]: 550 ...": the gateway's words, not theirs.
            head = ""
        text = head + _CODES.sub(lambda found: "" if found[1] == said[1] else found[0], rest)
    loose = _LOOSE_ENHANCED.search(text)
    if loose is not None and (not enhanced or enhanced[1:] == ".0.0"):
        enhanced = loose[1]
    if code == 0:
        code = 450 if enhanced.startswith("4") else 550
    is_permanent &= code // 100 == 5 and not enhanced.startswith("4")  # Whoever says "temporary" is believed.
    return Reply(code, enhanced, text.strip()), is_permanent


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
