"""`outrider rules ...`: what replies mean, by which rule; which no rule explains; and what other rules would change.

A file of rules given here is taken as `[classify] file` would be: its rules come before ours, one of the same id
replaces ours; with `--alone` it is the whole set. `unknown` and `replay` read the event log of every project, `list`
and `test` need no database. Only `replay --apply` changes anything: it removes wrong suppressions and adds none.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from outrider import knowledge
from outrider.app import Services
from outrider.base.errors import CallerError, ConfigError, RemoteProtocolError
from outrider.base.vocab import Fate, Phase
from outrider.cli import output, session
from outrider.cli.options import AsJson
from outrider.cli.queue import watched
from outrider.config import Config
from outrider.engine import heard
from outrider.policy import reason as reasons
from outrider.policy import suppress
from outrider.policy.classify import CONFIRM_AFTER_S, Classifier, Rule, Verdict, parse_own_rules
from outrider.policy.reason import Action, Reason, Scope
from outrider.services.rules import Replay, Rules, Unknown
from outrider.wire.answer import Answer
from outrider.wire.reply import parse_reply

rules = typer.Typer(help="What replies mean: list, test, unknown ones, replay with other rules.", no_args_is_help=True)
Days = Annotated[int | None, typer.Option(min=1, max=10_000, help="Look back so far only; without it, all.")]
OwnFile = Annotated[Path | None, typer.Option("--file", help="Rules of yours instead of those of [classify] file.")]
Alone = Annotated[bool, typer.Option("--alone", help="The file is the whole set; ours are left out.")]
_EXAMPLE_CHARS = 100


class RuleRow(msgspec.Struct, frozen=True):
    """A rule as it is listed."""

    id: str
    reason: str
    fate: str
    source: str
    seen_on: date
    is_own: bool
    version: str  # Of the whole set.


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What one reply means, and what follows."""

    reason: Reason
    fate: Fate
    confirmed_fate: Fate  # At a later attempt, an hour or more after acceptance.
    rule: str
    source: str
    at_fault: Scope
    action: Action
    suppresses: str
    version: str


@rules.command("list")
def list_rules(
    *,
    reason: Annotated[Reason | None, typer.Option(help="Only those that give this reason.")] = None,
    file: OwnFile = None,
    alone: Alone = False,
    as_json: AsJson = False,
) -> None:
    """List the rules in the order in which they are asked: yours, then ours."""
    own, asked = _rules(session.settings(), file, alone=alone)
    version, own_ids = Classifier(asked).rules_version, {rule.id for rule in own}
    found = [
        RuleRow(rule.id, rule.reason, rule.fate, rule.source, rule.seen_on, rule.id in own_ids, version)
        for rule in asked
        if reason is None or rule.reason == reason
    ]
    output.show(found, _tell_rules, as_json=as_json)


@rules.command("test")
def try_reply(
    reply: Annotated[str, typer.Argument(help='Such as "550 5.1.1 no such user".')],
    *,
    phase: Annotated[Phase, typer.Option(help="Where in an attempt it came.")] = Phase.RCPT,
    report: Annotated[bool, typer.Option("--report", help="It came later, by mail, in a report.")] = False,
    file: OwnFile = None,
    alone: Alone = False,
    as_json: AsJson = False,
) -> None:
    """Say what a reply means, by which rule, and what follows."""
    _, asked = _rules(session.settings(), file, alone=alone)
    classifier = Classifier(asked)
    try:
        first, later = _judge(classifier, reply, None if report else phase)
    except CallerError as error:
        session.fail(error)
    word = Reason(first.reason)
    tested = Tested(
        reason=word,
        fate=first.fate,
        confirmed_fate=later.fate,
        rule=first.rule,
        source=next((rule.source for rule in asked if rule.id == first.rule), ""),
        at_fault=reasons.scope_of(word),
        action=reasons.action_of(word),
        suppresses=_suppresses(word, later.fate),
        version=classifier.rules_version,
    )
    output.show(tested, _tell_tested, as_json=as_json)


@rules.command()
def unknown(
    *,
    days: Days = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Groups at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the replies that no rule explains, grouped by what they say, the most frequent first."""

    async def work(services: Services) -> Unknown:
        classifier = knowledge.make_classifier(services.context.config)
        return await watched(
            "Reading replies, unknown:",
            lambda tell: _service(services).unknown(classifier, days=days, count_max=limit, on_progress=tell),
        )

    output.show(session.run(work), _tell_unknown, as_json=as_json)


@rules.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Rules of yours: they come before ours, as [classify] file does.")],
    *,
    days: Days = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove the suppressions that are wrong; add none.")] = False,
    alone: Alone = False,
    as_json: AsJson = False,
) -> None:
    """Judge again, by the rules of FILE, what servers and reports said; show what would change."""
    _, asked = _rules(session.settings(), file, alone=alone)
    classifier = Classifier(asked)

    async def work(services: Services) -> Replay:
        return await watched(
            "Replies judged:",
            lambda tell: _service(services).replay(classifier, days=days, applies=apply, on_progress=tell),
        )

    found = session.run(work)
    output.show(found, lambda shown: _tell_replay(shown, is_applied=apply), as_json=as_json)


def _service(services: Services) -> Rules:
    return Rules(services.store, knowledge.make_shaping(services.context.config), clock=services.context.clock)


def _rules(config: Config, file: Path | None, *, alone: bool) -> tuple[Sequence[Rule], Sequence[Rule]]:
    """Return the operator's rules, and all that are asked. Ends the program if a file is wrong."""
    try:
        if alone and file is None:
            raise CallerError("--alone is about a file of rules: give one.", field="alone")
        own = knowledge.own_rules(config) if file is None else parse_own_rules(file.read_text("utf-8"), str(file))
        return own, own if alone else knowledge.reply_rules(own)
    except CallerError as error:
        session.fail(error)
    except (OSError, UnicodeDecodeError) as error:
        session.fail(CallerError(f"{file} cannot be read: {error}.", field="file"))
    except ConfigError as error:
        session.fail(CallerError(error.public, field="file") if file is not None else error)


def _judge(classifier: Classifier, text: str, phase: Phase | None) -> tuple[Verdict, Verdict]:
    """Judge at the first attempt and when it is confirmed; `phase` None: a report. Raises CallerError."""
    if phase is None:
        verdict = classifier.judge_report(0, "", text)
        return verdict, verdict
    lines = text.strip().splitlines() or [""]
    try:  # One line as an event has it, or the lines as a server sends them.
        reply = heard.parse_text(lines[0]) if len(lines) == 1 else parse_reply([line.encode() for line in lines])
    except (RemoteProtocolError, UnicodeEncodeError):
        reply = None
    if reply is None:
        raise CallerError('A reply begins with its code, such as "550 5.1.1 no such user".', field="reply")
    answer = Answer(phase, reply)
    return classifier.judge(answer), classifier.judge(answer, attempt=1, age_s=CONFIRM_AFTER_S)


def _suppresses(reason: Reason, fate: Fate) -> str:
    if not suppress.is_meant(reason, fate):
        return "no"
    if suppress.is_counted(reason):
        return "when it comes again and again"
    return "at once" if reason in suppress.SUPPRESSING else "no"


def _tell_rules(found: Sequence[RuleRow]) -> None:
    rows = [[one.id, one.reason, one.fate, "yours" if one.is_own else "ours", one.source, one.seen_on] for one in found]
    output.show_table(["ID", "REASON", "AT WORST", "WHOSE", "SOURCE", "SEEN"], rows, empty="No rules.")
    if found:
        output.show_text(f"{len(found)} rules, version {found[0].version}")


def _tell_tested(one: Tested) -> None:
    later = "" if one.confirmed_fate is one.fate else f"; {one.confirmed_fate} if it is still so after an hour"
    output.show_facts(
        {
            "reason": one.reason,
            "fate": f"{one.fate}{later}",
            "rule": one.rule or "none",
            "source": one.source or "-",
            "at fault": one.at_fault,
            "we": one.action,
            "suppresses": one.suppresses,
            "version": one.version,
        }
    )


def _tell_unknown(found: Unknown) -> None:
    rows = [
        [one.count, f"{one.last_at:%Y-%m-%d %H:%M}", one.reason, one.phase, one.provider, one.host, _short(one.example)]
        for one in found.groups
    ]
    columns = ["COUNT", "LAST", "REASON", "PHASE", "PROVIDER", "HOST", "EXAMPLE"]
    output.show_table(columns, rows, empty="Every reply is explained by a rule.")
    if found.groups:
        more = "; the rarest are not counted" if found.is_cut else ""
        output.show_text(f"{len(rows)} of {found.group_count} kinds, {found.reply_count} replies{more}")


def _tell_replay(found: Replay, *, is_applied: bool) -> None:
    rows = [
        [
            one.count,
            f"{one.old_reason} {one.old_fate}",
            f"{one.new_reason} {one.new_fate}",
            one.new_rule,
            _short(one.example),
        ]
        for one in found.changes
    ]
    output.show_table(["COUNT", "WAS", "WOULD BE", "BY RULE", "EXAMPLE"], rows, empty="No verdict would change.")
    output.show_text(
        f"{found.judged_count} replies judged by rules {found.rules_version}, {found.changed_count} otherwise"
    )
    if found.unmade_count:
        output.show_text(f"{found.unmade_count} would have suppressed their address; none is added")
    if not found.wrong_count:
        output.show_text("No suppression is wrong.")
        return
    output.show_text("")
    wrong = [
        [
            one.address_key,
            one.created_at.date(),
            f"{one.reason} by {one.rule or 'no rule'}",
            f"{one.new_reason} {one.new_fate}",
            _short(one.evidence),
        ]
        for one in found.wrong
    ]
    output.show_table(["SUPPRESSED", "ON", "FOR", "WOULD BE", "EVIDENCE"], wrong, empty="")
    shown = "" if len(wrong) == found.wrong_count else f", {len(wrong)} shown"
    done = f"{found.removed_count} removed" if is_applied else "--apply removes them"
    output.show_text(f"{found.wrong_count} suppressions would not have been made{shown}; {done}")


def _short(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARS else f"{text[: _EXAMPLE_CHARS - 3]}..."
