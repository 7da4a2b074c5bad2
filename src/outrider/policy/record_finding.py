"""What was seen of a record and what is said of it: the records that the judges share, and their common sentences.

Texts that strangers publish are made printable and cut before they become part of a finding: it is stored and shown.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from outrider.base.vocab import RecordCause, RecordState
from outrider.mail import dkim_record, orgdomain
from outrider.mail.dkim_record import Match
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation
from outrider.policy import proxies
from outrider.policy.records import Wanted

_VALUES_COUNT_MAX: Final = 10  # Ours: shown of one name; more are of no help.
_VALUE_CHARS_MAX: Final = 1000  # Ours: a DKIM key of 4096 bits has 750.
_QUOTED_CHARS_MAX: Final = 80
_ADVICE_CHARS_MAX: Final = 800  # Ours: a sentence with a few names of 253 in it.


class SpfSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What receivers conclude from the SPF record that is published."""

    walk: Evaluation  # Of an address that nothing matches.
    checks: Mapping[str, Evaluation] = {}  # Of each address that the wanted record names, as far as we looked.
    ours_lookups: int | None = None  # What the wanted terms cost with all that is below them; None: nobody counted.


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What DNS says, as far as it matters for one wanted record. What nobody asked is empty."""

    look: Look  # The wanted type at the wanted host.
    has_domain: bool = True  # The registered name exists.
    elsewhere: Sequence[Look] = ()  # The same at `record_check.suspects`.
    text: Look | None = None  # TXT at the host, CNAMEs followed: where a CNAME to a DKIM key is wanted.
    chain: Sequence[str] = ()  # The CNAMEs on the way to its addresses: where another CNAME than wanted is seen.
    addresses: Sequence[str] = ()  # What the host resolves to: where a CNAME is wanted and none is seen.
    target_addresses: Sequence[str] = ()  # What the wanted target resolves to.
    inherited: Look | None = None  # TXT at the organizational domain: of DMARC.
    permission: Look | None = None  # TXT where the receiver of DMARC reports says that it wants them; None: need not.
    spf: SpfSeen | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one wanted record."""

    wanted: Wanted
    state: RecordState  # UNVERIFIED: nobody answered; what was known of before stands.
    cause: RecordCause = RecordCause.NONE
    seen: Sequence[str] = ()  # The values found there, in no order; of another host: "HOST: VALUE". Printable.
    advice: str = ""  # One plain sentence: what to change. "" when there is nothing to say.
    publish: str = ""  # What the record should say, merged with what is there; `wanted.value` where nothing is.


def failed(wanted: Wanted, cause: RecordCause, advice: str, seen: Sequence[str] = (), *, publish: str = "") -> Finding:
    """Return that receivers do not find what they need."""
    return Finding(
        wanted=wanted,
        state=RecordState.FAILED,
        cause=cause,
        seen=_texts(seen),
        advice=_printable(advice, _ADVICE_CHARS_MAX),
        publish=publish or wanted.value,
    )


def passed(
    wanted: Wanted,
    seen: Sequence[str],
    *,
    cause: RecordCause = RecordCause.NONE,
    advice: str = "",
    publish: str = "",
) -> Finding:
    """Return that they do; `cause` is what to mind."""
    return Finding(
        wanted=wanted,
        state=RecordState.PASSED,
        cause=cause,
        seen=_texts(seen),
        advice=_printable(advice, _ADVICE_CHARS_MAX),
        publish=publish or wanted.value,
    )


def unverified(wanted: Wanted, look: Look) -> Finding:
    """Return that nobody could tell."""
    is_late = look.outcome is Outcome.TIMED_OUT
    return undecided(
        wanted,
        RecordCause.TIMED_OUT if is_late else RecordCause.SERVERS_FAILED,
        f"The name servers of {orgdomain.of(look.name)} {'did not answer in time' if is_late else 'failed'}; "
        "nothing is concluded from it, and they will be asked again.",
    )


def undecided(wanted: Wanted, cause: RecordCause, advice: str, seen: Sequence[str] = ()) -> Finding:
    """Return that it cannot be told now, for a cause that is temporary."""
    return Finding(
        wanted=wanted,
        state=RecordState.UNVERIFIED,
        cause=cause,
        seen=_texts(seen),
        advice=_printable(advice, _ADVICE_CHARS_MAX),
        publish=wanted.value,
    )


def not_there(wanted: Wanted, look: Look, *, mark: str = "") -> Finding:
    """Return why nothing counts at that host.

    Args:
        mark: what a text meant to be the record has in it somewhere, lower case; "" knows none.
    """
    meant = [value for value in look.values if mark and mark in value.lower()]
    if meant:
        start = wanted.value.partition(";")[0].partition(" ")[0]
        return failed(
            wanted,
            RecordCause.SYNTAX,
            f"Receivers pass over {shown(meant[0])}: the text has to begin with {start} and have no quotes in it.",
            meant,
        )
    if look.chain:
        return failed(
            wanted,
            RecordCause.TARGET_MISSING,
            f"{wanted.host} is a CNAME to {shown(look.chain[-1])}, which has no such record: publish it there, or in "
            "the place of the CNAME.",
            look.chain,
        )
    return failed(wanted, RecordCause.MISSING, f"Publish the {wanted.type} record at {wanted.host}.")


def other_cname(wanted: Wanted, target: str) -> Finding:
    """Return what to say of a CNAME that leads elsewhere."""
    if target.startswith(f"{wanted.value}."):
        return failed(wanted, RecordCause.TYPO, unended("CNAME", target), [target])
    if is_near(wanted.value, target):
        return failed(wanted, RecordCause.TYPO, typo(wanted.value, target), [target])
    return failed(
        wanted, RecordCause.OTHER_VALUE, f"The CNAME leads to {shown(target)}: change it to {wanted.value}.", [target]
    )


def proxied(wanted: Wanted, addresses: Sequence[str]) -> Finding | None:
    """Return that a proxy hides the CNAME, if one of these, which answer at its host, is a proxy's."""
    proxy = next(filter(None, map(proxies.name_of, addresses)), "")
    if not proxy:
        return None
    advice = f"{proxy} answers in the place of the CNAME: switch the proxy off for {wanted.host} (DNS only)."
    return failed(wanted, RecordCause.PROXIED, advice, addresses)


def is_near(wanted: str, found: str) -> bool:
    """Tell whether one is the other with a slip of the hand."""
    return wanted != found and dkim_record.difference(wanted, found).match is Match.NEAR


def typo(wanted: str, found: str) -> str:
    """Return where two texts differ, for people."""
    difference = dkim_record.difference(wanted, found)
    there = f"is {shown(difference.found)}" if difference.found else "is nothing"
    should = f"{difference.wanted} should be" if difference.wanted else "nothing should be"
    return f"Nearly right: at character {difference.at} there {there} where {should}."


def unended(what: str, target: str) -> str:
    """Return what to say of a host behind which a control panel has put the domain."""
    return f"The {what} leads to {shown(target)}: end the target with a dot, so that no domain is added to it."


def shown(text: str) -> str:
    """Return what a sentence may quote of a stranger's text."""
    return _printable(text, _QUOTED_CHARS_MAX)


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(_printable(value, _VALUE_CHARS_MAX) for value in values[:_VALUES_COUNT_MAX])


def _printable(text: str, chars_max: int) -> str:
    cut = text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"
    return cut if cut.isprintable() else "".join(char if char.isprintable() else "?" for char in cut)
