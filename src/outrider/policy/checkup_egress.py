"""How a sending address looks to receivers: its name, forward and back, its SPF, and whether port 25 is open to it.

Receivers look an address up (PTR), look the name up again (A, AAAA), and want to come back to where they began; Gmail
and Yahoo refuse mail where that fails. The name after EHLO should be one of those names.
Sources: RFC 1912 §2.1, RFC 5321 §4.1.4, providers.md 1.1.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from outrider.base.vocab import Phase
from outrider.mail.look import Look, Outcome
from outrider.mail.spf_check import Evaluation, Result
from outrider.policy import checkup
from outrider.policy.checkup import Check
from outrider.wire.answer import Answer, Cause

PTR: Final = "egress.ptr"
EHLO: Final = "egress.ehlo"
SPF: Final = "egress.spf"
PORT: Final = "egress.port"
_NAMES_SHOWN_COUNT: Final = 5
_SPF_WORDS: Final = {
    Result.NONE: "has no SPF record",
    Result.NEUTRAL: "says nothing about it",
    Result.FAIL: "says that it may not send",
    Result.SOFTFAIL: "says that it should not send",
}


class Names(msgspec.Struct, frozen=True):
    """What DNS says of an address and of the name it introduces itself with."""

    ptr: Look  # PTR of the address.
    forward: Mapping[str, Sequence[Look]]  # A and AAAA of each name that PTR gave.
    ehlo: Sequence[Look]  # A and AAAA of the EHLO name.


def judge_names(ip: str, ehlo_name: str, names: Names) -> list[Check]:
    """Return whether the address has a name that leads back to it, and whether EHLO says that name."""
    return [_judge_ptr(ip, ehlo_name, names), _judge_ehlo(ip, ehlo_name, names)]


def judge_spf(ip: str, found: Mapping[str, Evaluation]) -> Check:
    """Return whether SPF lets the address send for these return paths; the mapping may be empty."""
    if not found:
        return checkup.skip(SPF, "no return path is known whose SPF could be asked.", subject=ip)
    unknown = [host for host, one in found.items() if one.result is Result.TEMPERROR]
    bad = {host: one for host, one in found.items() if one.result not in (Result.PASS, Result.TEMPERROR)}
    if bad:
        told = "; ".join(
            f"{host} {_SPF_WORDS.get(one.result, f'cannot be used: {one.reason}')}" for host, one in sorted(bad.items())
        )
        return checkup.fail(SPF, f"{told}.", "Publish what `outrider domain dns DOMAIN` prints for SPF.", ip)
    if unknown:
        return checkup.skip(SPF, f"nobody answered about {', '.join(sorted(unknown))}.", subject=ip)
    return checkup.ok(SPF, f"it may send for {', '.join(sorted(found))}.", ip)


def judge_port(subject: str, host: str, answer: Answer | str, wait_s: float) -> Check:
    """Return whether mail servers can be reached from a source.

    Args:
        host: whom we called, for people.
        answer: what it greeted us with, or what kept it from doing so.
    """
    if isinstance(answer, str):
        if answer.startswith("220"):
            return checkup.ok(PORT, f"{host} greeted us: {answer}", subject)
        return checkup.warn(
            PORT,
            f"{host} can be reached and does not want us: {answer}",
            "See what it says, or try another one.",
            subject,
        )
    another = "Try another one with --mx HOST."
    if answer.phase is Phase.GREETING:
        return checkup.warn(PORT, f"{host} takes the connection and does not greet ({answer.cause}).", another, subject)
    if answer.cause is Cause.REFUSED:
        return checkup.warn(PORT, f"{host} refuses connections.", another, subject)
    return checkup.fail(
        PORT,
        f"{host} cannot be reached ({answer.cause}), after {wait_s:g} s at most.",
        "Many hosting companies close port 25 going out until they are asked: ask yours to open it, or send through a"
        " smart host: OUTRIDER_DELIVERY=smarthost://USER:PASSWORD@HOST:587.",
        subject,
    )


def _judge_ptr(ip: str, ehlo_name: str, names: Names) -> Check:
    advice = f"Ask whoever gave you the address (the hosting company) to set its reverse DNS to {ehlo_name}."
    if names.ptr.outcome is not Outcome.FOUND:
        if names.ptr.outcome.is_temporary:
            return checkup.skip(PTR, "nobody answered about its reverse DNS.", subject=ip)
        return checkup.fail(PTR, "it has no reverse DNS.", advice, ip)
    confirmed = [name for name in sorted(names.forward) if _has(names.forward[name], ip)]
    shown = _shown(names.ptr.values)
    if confirmed:
        return checkup.ok(PTR, f"its name is {_shown(confirmed)}, which leads back to it.", ip)
    if any(look.outcome.is_temporary for looks in names.forward.values() for look in looks):
        return checkup.skip(PTR, f"nobody answered about {shown}, its name.", subject=ip)
    return checkup.fail(
        PTR, f"its name is {shown}, which does not lead back to it.", f"Publish an A or AAAA record there. {advice}", ip
    )


def _judge_ehlo(ip: str, ehlo_name: str, names: Names) -> Check:
    line = "OUTRIDER_NET__EHLO_NAME=NAME, or ehlo_name of the source in [egress.sources]"
    if ehlo_name.startswith("["):
        return checkup.fail(EHLO, f"this machine has no full name, so EHLO says {ehlo_name}.", f"Set {line}.", ip)
    if any(look.outcome.is_temporary for look in names.ehlo) and not _has(names.ehlo, ip):
        return checkup.skip(EHLO, f"nobody answered about {ehlo_name}, its EHLO name.", subject=ip)
    if not any(look.values for look in names.ehlo):
        return checkup.fail(
            EHLO, f"{ehlo_name}, its EHLO name, does not exist in DNS.", f"Publish it with {ip}, or set {line}.", ip
        )
    if not _has(names.ehlo, ip):
        return checkup.warn(
            EHLO,
            f"{ehlo_name}, its EHLO name, leads elsewhere.",
            f"Add {ip} to its A or AAAA records, or set {line}.",
            ip,
        )
    if names.ptr.values and ehlo_name not in names.ptr.values:
        return checkup.warn(
            EHLO,
            f"EHLO says {ehlo_name}, reverse DNS says {_shown(names.ptr.values)}.",
            f"Set {line} to the name in reverse DNS, or have that changed.",
            ip,
        )
    return checkup.ok(EHLO, f"{ehlo_name} leads to it.", ip)


def _has(looks: Sequence[Look], ip: str) -> bool:
    return any(ip in look.values for look in looks)


def _shown(names: Sequence[str]) -> str:
    """Return names that strangers may have chosen."""
    text = ", ".join(sorted(names)[:_NAMES_SHOWN_COUNT])
    return "".join(char if char.isprintable() else "?" for char in text)
