"""What DNS says of a wanted record, and what is wrong with it: state, cause, one sentence of advice.

    judge(wanted, seen) -> Finding        `net.records` has looked; this judges
    suspects(wanted, domain) -> hosts     where else a value may have landed, asked for when it is not at its place
    related(findings) -> findings         what one record means for another

    UNVERIFIED  nobody answered in time, or servers failed: what was known of before stands
    PASSED      receivers find what they need; `cause` and `advice` may still say what to mind
    FAILED      they do not; `cause` says why, `advice` what to change

What counts is what receivers make of it, not equal spelling: SPF passes when all our addresses do, a DKIM record when
its key is ours, DMARC when there is a policy. Texts of strangers are shortened and made printable before they are
shown. Sources: RFC 7208, RFC 6376 §3.6.1, RFC 7489 §6.6.3, RFC 8461 §3.1, RFC 8460 §3, RFC 5321 §5.1.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail import dmarc, orgdomain, txt
from outrider.mail.look import Look, Outcome
from outrider.policy import record_keys, record_spf
from outrider.policy.record_finding import (
    Finding,
    Seen,
    SpfSeen,
    failed,
    is_near,
    not_there,
    other_cname,
    passed,
    proxied,
    shown,
    typo,
    unended,
    unverified,
)
from outrider.policy.records import Wanted

__all__ = ["Finding", "Seen", "SpfSeen", "judge", "related", "report_address", "suspects"]

_SUSPECTS_COUNT_MAX: Final = 8
_VERSIONS: Final = {RecordKind.MTA_STS: "STSv1", RecordKind.TLS_RPT: "TLSRPTv1", RecordKind.BIMI: "BIMI1"}


def judge(wanted: Wanted, seen: Seen) -> Finding:
    """Return state, cause and advice."""
    if seen.look.outcome.is_temporary:
        return unverified(wanted, seen.look)
    if not seen.has_domain:
        name = orgdomain.of(wanted.host)
        return failed(wanted, RecordCause.NO_DOMAIN, f"{name} does not exist: register it, or correct the name.")
    if seen.look.outcome is Outcome.LOOP:
        way = " to ".join([wanted.host, *seen.look.chain[:3]])
        return failed(
            wanted,
            RecordCause.LOOP,
            f"CNAMEs lead in a circle ({way}): remove the one that leads back.",
            seen.look.chain,
        )
    finding = _judge_place(wanted, seen)
    if finding.state is RecordState.FAILED and (place := _place_of(wanted, seen)) is not None:
        return place
    return finding


def suspects(wanted: Wanted, domain: str) -> Sequence[str]:
    """Return the hosts at which a value lands by the mistakes people make, likeliest first, at most a few.

    Control panels add the domain to what is typed, so a full name comes out doubled; some drop or forbid underscores;
    some people leave the left part out.
    """
    host, organization = wanted.host, orgdomain.of(domain)
    below = host.removesuffix(f".{domain}") if host.endswith(f".{domain}") else ""
    hosts = [f"{host}.{organization}", f"{host}.{domain}"]
    if below:
        hosts.append(f"{below}.{organization}")
        if "_" in below:
            hosts += [host.replace("_", ""), host.replace("_", "-")]
        if wanted.type == "TXT" or wanted.kind is RecordKind.DKIM:
            hosts.append(domain)
    if wanted.kind is RecordKind.DKIM:
        hosts += [f"{wanted.selector}.{domain}", f"_domainkey.{domain}"]
    return [name for name in dict.fromkeys(hosts) if name != host][:_SUSPECTS_COUNT_MAX]


def related(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return the findings of one domain with what they mean for each other, in the same order.

    A logo is shown only where DMARC asks receivers to act (BIMI draft §7.1: quarantine of all mail, or reject).
    """
    policy = next((one for one in findings if one.wanted.kind is RecordKind.DMARC), None)
    if policy is None or policy.state is not RecordState.PASSED or _is_enforced(policy):
        return findings
    advice = f"No logo is shown before {policy.wanted.host} says p=quarantine or p=reject, for all mail."
    return [
        msgspec.structs.replace(one, cause=RecordCause.NOT_ENFORCED, advice=advice)
        if one.wanted.kind is RecordKind.BIMI and one.state is RecordState.PASSED
        else one
        for one in findings
    ]


def _is_enforced(policy: Finding) -> bool:
    """Whether a DMARC record that passed asks receivers to act on all mail of the domain."""
    is_inherited = policy.cause is RecordCause.INHERITED
    text = next(iter(policy.seen), "")
    try:
        found = dmarc.parse(text.partition(": ")[2] if is_inherited else text)
    except dmarc.DmarcError:
        return False
    return "none" not in (found.subdomain_policy, found.policy) and (found.policy == "reject" or found.percent == 100)


def _judge_place(wanted: Wanted, seen: Seen) -> Finding:
    """Judge what is at the wanted host."""
    match wanted.kind:
        case RecordKind.SPF | RecordKind.RETURN_PATH_SPF:
            return record_spf.judge(wanted, seen)
        case RecordKind.DKIM:
            return record_keys.judge(wanted, seen)
        case RecordKind.DMARC:
            return _judge_dmarc(wanted, seen)
        case RecordKind.RETURN_PATH:
            return _judge_mx(wanted, seen.look)
        case RecordKind.TRACKING:
            return _judge_cname(wanted, seen)
        case RecordKind.MTA_STS | RecordKind.TLS_RPT | RecordKind.BIMI:
            return _judge_cname(wanted, seen) if wanted.type == "CNAME" else _judge_text(wanted, seen.look)


def _place_of(wanted: Wanted, seen: Seen) -> Finding | None:
    """Return what to say if the value is at another place, None if it is nowhere we looked."""
    for look in seen.elsewhere:
        if look.outcome is not Outcome.FOUND or not _is_ours(wanted, look):
            continue
        reason = ""
        if look.name.startswith(wanted.host):
            reason = " (the control panel adds the domain by itself)"
        elif look.name.replace("-", "") == wanted.host.replace("_", ""):
            reason = " (the underscore is lost)"
        return failed(
            wanted,
            RecordCause.WRONG_HOST,
            f"The record is at {look.name}{reason}: move it to {wanted.host}.",
            [f"{look.name}: {value}" for value in look.values],
        )
    return None


def _is_ours(wanted: Wanted, look: Look) -> bool:
    """Tell whether what is at another place is meant to be this record, and not somebody's own."""
    if wanted.type == "CNAME":
        return look.type == "CNAME" and wanted.value in look.values
    if wanted.type == "MX":
        return look.name.startswith(wanted.host) and _host_of(wanted.value) in map(_host_of, look.values)
    match wanted.kind:
        case RecordKind.SPF | RecordKind.RETURN_PATH_SPF:  # The name above has one of its own that says the same.
            is_doubled = look.name.startswith(wanted.host)
            return is_doubled and any(record_spf.is_covered(wanted.value, value) for value in look.values)
        case RecordKind.DKIM:
            return any(record_keys.is_ours(wanted, value) for value in look.values)
        case RecordKind.DMARC:
            return any(map(dmarc.is_dmarc, look.values))
        case _:
            return _normal(wanted.value) in map(_normal, look.values)


def _judge_dmarc(wanted: Wanted, seen: Seen) -> Finding:
    records = [text for text in seen.look.values if dmarc.is_dmarc(text)]
    if not records:
        return _judge_inherited(wanted, seen) or not_there(wanted, seen.look, mark="dmarc1")
    if len(records) > 1:
        return failed(
            wanted,
            RecordCause.SEVERAL,
            f"There are {len(records)} DMARC records, so receivers take none: keep one.",
            records,
        )
    try:
        found = dmarc.parse(records[0])
    except dmarc.DmarcError as error:
        return failed(wanted, RecordCause.SYNTAX, f"Receivers cannot read the DMARC record: {error}.", records)
    address = report_address(wanted)
    return _passed_dmarc(wanted, found, records, seen.permission, publish=dmarc.merge(records[0], address))


def _judge_inherited(wanted: Wanted, seen: Seen) -> Finding | None:
    """Return what the organizational domain's policy makes of this domain, None if there is none that can be read."""
    texts = [text for text in seen.inherited.values if dmarc.is_dmarc(text)] if seen.inherited is not None else []
    if len(texts) != 1 or seen.inherited is None:
        return None
    try:
        found = dmarc.parse(texts[0])
    except dmarc.DmarcError:
        return None
    return passed(
        wanted,
        [f"{seen.inherited.name}: {texts[0]}"],
        cause=RecordCause.INHERITED,
        advice=f"The policy of {orgdomain.of(wanted.host)} holds (p={found.subdomain_policy}); publish one here to get "
        "the reports on this domain.",
        publish=wanted.value,
    )


def _passed_dmarc(
    wanted: Wanted, found: dmarc.Dmarc, records: Sequence[str], permission: Look | None, *, publish: str
) -> Finding:
    address = report_address(wanted)
    advice = ""
    if address and address.lower() not in found.report_addresses:
        advice = f"Reports do not come to us: add mailto:{address} to rua=."
    elif permission is not None and not permission.outcome.is_temporary and not _allows(permission):
        advice = f'Reports do not come until the operator of {address} publishes the TXT record "v=DMARC1" at '
        advice += f"{permission.name}."
    if advice:
        return passed(wanted, records, cause=RecordCause.NOT_REPORTED, advice=advice, publish=publish)
    if found.policy == "none":
        advice = "When the reports show that all your mail passes, go on to p=quarantine, then p=reject."
    return passed(wanted, records, advice=advice, publish=publish)


def _allows(permission: Look) -> bool:
    return any(map(dmarc.is_dmarc, permission.values))


def report_address(wanted: Wanted) -> str:
    """Return the address that a wanted DMARC record asks reports to be sent to, "" if none."""
    return next(iter(dmarc.parse(wanted.value).report_addresses), "")


def _judge_mx(wanted: Wanted, look: Look) -> Finding:
    ours = _host_of(wanted.value)
    hosts = sorted(look.values, key=_preference_of)
    if not hosts:
        return not_there(wanted, look)
    if all(not _host_of(value) for value in hosts):
        return failed(
            wanted,
            RecordCause.OTHER_VALUE,
            f"The MX record says that {wanted.host} takes no mail: replace it with {wanted.value}.",
            hosts,
        )
    if ours not in map(_host_of, hosts):
        doubled = next((_host_of(value) for value in hosts if _host_of(value).startswith(f"{ours}.")), "")
        if doubled:
            return failed(wanted, RecordCause.TYPO, unended("MX record", doubled), hosts)
        near = next((value for value in hosts if is_near(ours, _host_of(value))), "")
        if near:
            return failed(wanted, RecordCause.TYPO, typo(ours, _host_of(near)), hosts)
        return failed(
            wanted,
            RecordCause.OTHER_VALUE,
            f"Mail goes to {shown(_host_of(hosts[0]))}: replace the MX record with {wanted.value}.",
            hosts,
        )
    others = [value for value in hosts if _host_of(value) != ours]
    best = min(_preference_of(value) for value in hosts if _host_of(value) == ours)
    if any(_preference_of(value) <= best for value in others):
        return failed(
            wanted,
            RecordCause.SEVERAL,
            f"Bounces also go to {shown(_host_of(others[0]))}: remove the other MX records of {wanted.host}.",
            hosts,
        )
    return passed(wanted, hosts)


def _judge_cname(wanted: Wanted, seen: Seen) -> Finding:
    """Judge a CNAME to a web host of ours."""
    look = seen.look
    if wanted.value in look.values or wanted.value in seen.chain:
        return passed(wanted, look.values or seen.chain)
    if look.values:
        return other_cname(wanted, look.values[0])
    if not seen.addresses:
        return not_there(wanted, look)
    if (found := proxied(wanted, seen.addresses)) is not None:
        return found
    if set(seen.addresses) <= set(seen.target_addresses):
        return passed(
            wanted,
            seen.addresses,
            cause=RecordCause.FLATTENED,
            advice=f"Your DNS turns the CNAME into addresses, which stay behind when those of {wanted.value} change.",
        )
    return failed(
        wanted,
        RecordCause.FLATTENED,
        f"{wanted.host} has addresses of its own: replace its A and AAAA records with a CNAME to {wanted.value}.",
        seen.addresses,
    )


def _judge_text(wanted: Wanted, look: Look) -> Finding:
    """Judge a tag list that only has to be there, once, and say what ours says: MTA-STS, TLS-RPT, BIMI."""
    version = _VERSIONS[wanted.kind]
    records = [text for text in look.values if text.replace(" ", "").startswith(f"v={version}")]
    if not records:
        return not_there(wanted, look, mark=version.lower())
    if len(records) > 1:
        return failed(
            wanted,
            RecordCause.SEVERAL,
            f"There are {len(records)} {version} records, so receivers take none: keep one.",
            records,
        )
    needed = txt.read_tags(wanted.value)
    try:
        found = txt.read_tags(records[0])
    except txt.TagsError as error:
        return failed(wanted, RecordCause.SYNTAX, f"Receivers cannot read the record: {error}.", records)
    # Who fetches the policy looks at whether the id has changed, not at what it is: another one is no failure.
    wrong = [name for name, value in needed.items() if name != "id" and value not in _values_of(found, name)]
    wrong += [name for name in needed if name == "id" and not found.get("id")]
    if wrong:
        near = is_near(wanted.value, records[0])
        return failed(
            wanted,
            RecordCause.TYPO if near else RecordCause.OTHER_VALUE,
            typo(wanted.value, records[0]) if near else f"{wrong[0]}= should be {needed[wrong[0]]}.",
            records,
        )
    if "id" in needed and found["id"] != needed["id"]:
        return passed(
            wanted,
            records,
            cause=RecordCause.OTHER_VALUE,
            advice=f"Our policy has changed since that id, or it is one of your own: with id={needed['id']} senders "
            "fetch it anew.",
        )
    return passed(wanted, records)


def _values_of(tags: Mapping[str, str], name: str) -> list[str]:
    return [value.strip() for value in tags.get(name, "").split(",")]


def _normal(text: str) -> str:
    return "".join(text.split())


def _host_of(value: str) -> str:
    """Return the host of an MX value; "" is the null MX."""
    return value.partition(" ")[2].lower().removesuffix(".")


def _preference_of(value: str) -> int:
    return int(value.partition(" ")[0])
