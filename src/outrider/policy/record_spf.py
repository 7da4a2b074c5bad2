"""What is wrong with a published SPF record: does it let all our addresses send, and what does it cost.

The record passes when receivers say "pass" to each address that the wanted one names, whatever else it says and
however it is written. Where the wanted one names no address that can be found, its terms must be there. What only
hurts others' mail, such as look-ups past the limit behind our own match, is told and is no failure.
"""

from collections.abc import Sequence

from outrider.base import limits
from outrider.base.vocab import RecordCause, RecordState
from outrider.mail import spf
from outrider.mail.spf import Spf, SpfError, Term
from outrider.mail.spf_check import Evaluation, Result
from outrider.policy.record_finding import Finding, Seen, SpfSeen, failed, is_near, not_there, passed, typo, undecided
from outrider.policy.records import Wanted


def judge(wanted: Wanted, seen: Seen) -> Finding:
    """Judge the SPF record at a host that answered."""
    records = [text for text in seen.look.values if spf.is_spf(text)]
    if not records:
        return not_there(wanted, seen.look, mark="spf1")
    merged = spf.merge(
        records,
        wanted.value,
        known_lookups=seen.spf.walk.lookups_count if seen.spf is not None and len(records) == 1 else None,
        ours=seen.spf.ours_lookups if seen.spf is not None else None,
    )
    if len(records) > 1:
        return failed(
            wanted,
            RecordCause.SEVERAL,
            f"There are {len(records)} SPF records, so receivers take none: publish this one in their place.",
            records,
            publish=merged.text,
        )
    try:
        published = spf.parse(records[0])
    except SpfError as error:
        return failed(
            wanted, RecordCause.SYNTAX, f"Receivers cannot read the SPF record: {error}.", records, publish=merged.text
        )
    finding = _judge_reach(wanted, published, seen.spf, records)
    if finding.state is RecordState.FAILED:
        advice = f"{finding.advice} {merged.problem}".strip() if merged.problem else finding.advice
        return failed(wanted, finding.cause, advice, records, publish=merged.text)
    return finding


def is_covered(wanted: str, text: str) -> bool:
    """Tell whether all mechanisms of `wanted` but `all` are in the other record, too, as they are."""
    try:
        known = {term.meaning for term in spf.parse(text).terms}
    except SpfError:
        return False
    return _missing(wanted, known) == []


def _judge_reach(wanted: Wanted, published: Spf, seen: SpfSeen | None, records: Sequence[str]) -> Finding:
    """Judge whom the record lets send; advice of a failure says what, not yet what to publish."""
    if seen is None or not seen.checks:
        walk = seen.walk if seen is not None else None
        terms = walk.terms if walk is not None else published.terms
        if walk is not None and walk.result in (Result.PERMERROR, Result.TEMPERROR):
            return _of_error(wanted, walk, records)
        missing = _missing(wanted.value, {term.meaning for term in terms})
        return _not_covered(wanted, missing, published, records) if missing else passed(wanted, records)
    refused = {ip: found for ip, found in seen.checks.items() if found.result is not Result.PASS}
    for result in (Result.PERMERROR, Result.TEMPERROR):
        if error := next((found for found in refused.values() if found.result is result), None):
            near = _near(wanted.value, published)
            return failed(wanted, RecordCause.TYPO, near, records) if near else _of_error(wanted, error, records)
    if refused:
        return _not_covered(wanted, list(refused), published, records)
    return _passed(wanted, published, seen, records)


def _passed(wanted: Wanted, published: Spf, seen: SpfSeen, records: Sequence[str]) -> Finding:
    walk = seen.walk
    if published.all is not None and published.all.qualifier == "+":
        return passed(
            wanted,
            records,
            cause=RecordCause.TOO_OPEN,
            advice=f"{published.all.text} lets everybody send in your name: end the record with ~all or -all.",
            publish=records[0],
        )
    if walk.result is Result.PERMERROR:
        error = _of_error(wanted, walk, records)
        return passed(
            wanted,
            records,
            cause=error.cause,
            advice=f"Our mail passes, others' may not: {error.advice[:1].lower()}{error.advice[1:]}",
            publish=records[0],
        )
    return passed(wanted, records, publish=records[0])


def _of_error(wanted: Wanted, found: Evaluation, records: Sequence[str]) -> Finding:
    if found.result is Result.TEMPERROR:
        advice = f"SPF cannot be told now: {found.reason}; nothing is concluded from it."
        return undecided(wanted, RecordCause.SERVERS_FAILED, advice, records)
    if found.lookups_count > limits.SPF_LOOKUPS_COUNT_MAX:
        advice = (
            f"SPF costs {found.lookups_count} look-ups or more and receivers stop at {limits.SPF_LOOKUPS_COUNT_MAX}: "
            "remove an include that is not needed."
        )
        return failed(wanted, RecordCause.LOOP if found.is_loop else RecordCause.TOO_MANY_LOOKUPS, advice, records)
    if found.voids_count > limits.SPF_VOIDS_COUNT_MAX:
        advice = f"SPF is given up: {found.reason}; remove the terms that lead nowhere."
        return failed(wanted, RecordCause.TOO_MANY_LOOKUPS, advice, records)
    cause = RecordCause.LOOP if found.is_loop else RecordCause.SYNTAX
    return failed(wanted, cause, f"Receivers give the SPF record up: {found.reason}.", records)


def _not_covered(wanted: Wanted, missing: Sequence[str], published: Spf, records: Sequence[str]) -> Finding:
    if near := _near(wanted.value, published):
        return failed(wanted, RecordCause.TYPO, near, records)
    names = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
    return failed(
        wanted,
        RecordCause.NOT_COVERED,
        f"SPF is published and does not cover {names}: publish this record in its place.",
        records,
    )


def _missing(wanted: str, known: set[tuple[str, ...]]) -> list[str]:
    return [term.text for term in _needed(wanted) if term.meaning not in known]


def _near(wanted: str, published: Spf) -> str:
    """Return where a host that we asked for is misspelt, "" if none is."""
    for needed in _needed(wanted):
        for term in published.mechanisms:
            if (
                needed.value
                and needed.network is None
                and term.name == needed.name
                and is_near(needed.value, term.value)
            ):
                return typo(needed.text, term.text)
    return ""


def _needed(wanted: str) -> list[Term]:
    return [term for term in spf.parse(wanted).mechanisms if term.name != "all"]
