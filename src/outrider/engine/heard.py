"""What servers and reports said, kept with an event so that it can be judged again by other rules.

    Answer --reply_text, facts_of--> [event: reply, facts] --judge_again--> the verdict of other rules
    report ------report_facts------>

An event's `reply` is for people: one line, bounded. For nearly all replies it says all that the rules read
(`classify.line_of`); where it does not, the reply itself is in the facts. Invariant, tests/unit/engine/test_heard.py:
what was judged by the rules is judged by the same rules as before, from the event alone.
"""

import re
from collections.abc import Set
from typing import Final

import msgspec

from outrider.base import ids, limits
from outrider.base.vocab import EventKind, Fate, Phase
from outrider.policy import classify
from outrider.policy.classify import Classifier, Verdict
from outrider.policy.reason import Reason
from outrider.store.events import Event, Facts
from outrider.wire.answer import Answer
from outrider.wire.reply import Reply

# Events in whose facts is what a server, or a report, said. What nobody judged by rules (`rules` is missing) stays.
KINDS: Final = (EventKind.DEFERRED, EventKind.BOUNCED, EventKind.EXPIRED, EventKind.BOUNCED_LATE, EventKind.DELAYED)
REPORTED: Final = frozenset({EventKind.BOUNCED_LATE, EventKind.DELAYED})
_LINES: Final = " / "  # Between the lines of a reply.
_STORED: Final = re.compile(r"([2-5]\d\d)(?: ([245]\.\d{1,3}\.\d{1,3})(?= |$))?(?: (.*))?")


def reply_text(answer: Answer) -> str:
    """Write an answer as people read it: the server's reply on one line, or what kept it from coming.

    Bounded by REPLY_TEXT_CHARS_KEPT_MAX; control characters (NUL too, which the database refuses) are gone.
    """
    reply = answer.reply
    if reply is None:
        text = f"no reply: {answer.cause}"
    else:
        words = _LINES.join(line.strip() for line in reply.text.splitlines() if line.strip())
        text = " ".join(part for part in (str(reply.code), reply.enhanced, words) if part)
    text = text[: limits.REPLY_TEXT_CHARS_KEPT_MAX]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def parse_text(text: str) -> Reply | None:
    """Read back what `reply_text` wrote; None if it was no reply."""
    found = _STORED.fullmatch(text)
    if found is None:
        return None
    return Reply(int(found[1]), found[2] or "", (found[3] or "").replace(_LINES, "\n"))


def facts_of(answer: Answer) -> dict[str, str | int]:
    """Return what `reply_text` does not say of a refusal: nothing, mostly; else the reply."""
    if answer.reply is None or answer.reply.severity < 4:
        return {}
    kept = msgspec.structs.replace(answer.reply, text=_kept(answer.reply.text))
    read = parse_text(reply_text(answer))
    if read is not None and classify.line_of(read) == classify.line_of(kept):
        return {}
    return {"code": kept.code, "enhanced": kept.enhanced, "text": kept.text}


def report_facts(code: int, enhanced: str, text: str, fate: Fate) -> dict[str, str | int]:
    """Return what a report said about its recipient, and what it was taken for."""
    return {"code": code, "enhanced": enhanced, "text": _kept(text), "fate": fate.value}


def verdict_of(event: Event) -> Verdict:
    """Return what was decided then."""
    if event.kind is EventKind.BOUNCED_LATE:
        fate = Fate(str(event.facts.get("fate", Fate.BOUNCED)))
    else:
        fate = Fate.BOUNCED if event.kind is EventKind.BOUNCED else Fate.DEFERRED
    return Verdict(fate, event.reason, _fact(event.facts, "rule"), rules_version=_fact(event.facts, "rules"))


def judge_again(classifier: Classifier, event: Event, *, milder: Set[str] = frozenset()) -> Verdict | None:
    """Return what these rules make of it; None if it was not judged by rules, but by what did not happen.

    Args:
        milder: rules of shaping that say "temporary" whatever the reply (`engine.judge`): they would say it again.
    """
    if event.kind not in KINDS or "rules" not in event.facts:
        return None
    if event.kind in REPORTED:
        facts = event.facts
        verdict = classifier.judge_report(int(facts.get("code", 0)), _fact(facts, "enhanced"), _fact(facts, "text"))
        return of_delay(verdict) if event.kind is EventKind.DELAYED else verdict
    reply = said(event)
    if reply is None or "phase" not in event.facts:
        return None
    age_s = (event.at - ids.made_at(event.message_id)).total_seconds()
    answer = Answer(Phase(str(event.facts["phase"])), reply)
    verdict = classifier.judge(answer, attempt=max(0, event.attempt - 1), age_s=age_s)
    return _mild(verdict) if _fact(event.facts, "rule") in milder else verdict


def of_delay(verdict: Verdict) -> Verdict:
    """Return what the words of a report come to whose author goes on trying: whatever they say, it is not over."""
    if verdict.reason == Reason.UNKNOWN_HARD:
        return msgspec.structs.replace(verdict, fate=Fate.DEFERRED, reason=Reason.UNKNOWN_SOFT)
    return _mild(verdict)


def said(event: Event) -> Reply | None:
    """Return the reply or the diagnosis; None if the event has none. A diagnosis without a code has 0."""
    facts = event.facts
    if event.kind in REPORTED or "text" in facts:
        return Reply(int(facts.get("code", 0)), _fact(facts, "enhanced"), _fact(facts, "text"))
    return parse_text(event.reply)


def _mild(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, fate=Fate.DEFERRED)


def _fact(facts: Facts, name: str) -> str:
    return str(facts.get(name, ""))


def _kept(text: str) -> str:
    """Bound it as the rules do, without what the database refuses."""
    text = text[: limits.REPLY_TEXT_CHARS_KEPT_MAX]
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
