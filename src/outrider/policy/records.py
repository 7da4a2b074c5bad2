"""Which DNS records a sending domain has to publish, and why each.

    plan(Needs("mail.shop.example", keys=..., return_path="bounces.mail.shop.example", ...)) -> Wanted, Wanted, ...

    SPF        TXT     return path, and the domain itself   whose addresses may send
    DKIM       TXT     SELECTOR._domainkey.DOMAIN           the public key; a CNAME where the operator publishes it
    DMARC      TXT     _dmarc.DOMAIN                        starts at p=none, with our report address
    MX                 return path                          bounces come back
    CNAME              tracking host                        links and opens under the customer's name
    optional: MTA-STS (TXT and host) and TLS-RPT at the return path, BIMI at the domain

MTA-STS has a host where the operator serves the policy ([identity] mta_sts_target); else the customer serves it.

A plan knows no DNS: what is published there already is merged in by `record_check`, which says so in `Finding.publish`.
Required is what mail would fail without. Sources: RFC 7208, RFC 6376, RFC 7489, RFC 5321 §5.1, RFC 8461, RFC 8460.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from outrider.base.vocab import RecordKind
from outrider.mail import bimi, dkim_record, dmarc, spf, sts_policy
from outrider.mail.dkim_record import DkimRecordError

NAMELESS: Final = "(the public name of this machine: set OUTRIDER_NET__EHLO_NAME)"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish."""

    kind: RecordKind
    type: str  # "TXT", "CNAME" or "MX".
    host: str  # Fully qualified, lower-case A-labels, no last dot.
    value: str  # TXT: the whole text. CNAME: the target. MX: "10 mx.example".
    is_required: bool
    why: str  # One sentence for the person who publishes it.
    selector: str = ""  # Of a DKIM key; "" for other kinds.
    is_needed: bool = False  # Not required now, and no matter of taste either: of a DKIM key that waits or rests.
    key: str = ""  # Of a DKIM key, its TXT value, also where `value` is the target of a CNAME; "": there is none yet.


class KeyRecord(msgspec.Struct, frozen=True):
    """What a DKIM key needs in DNS."""

    selector: str
    value: str  # The TXT value, `dkim.public_record`; "": a delegated name that is kept for the next key.
    target: str = ""  # Delegated: the host in the operator's zone that has it; "" publishes the value itself.
    is_required: bool = True  # Mail is signed with it, or will be once it is seen; False: it waits or rests.
    needed_until: datetime | None = None  # Of one that rests: as long as mail that it signed is checked.


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What is to work for a domain. Names are lower-case A-labels without the last dot; "" leaves that part out."""

    domain: str
    keys: Sequence[KeyRecord] = ()
    return_path: str = ""  # The host of the envelope sender; may be the domain itself.
    mx_host: str = ""  # Where mail to the return path is taken; "": not known, the record says what to set.
    sources: Sequence[str] = ()  # IP addresses, or networks, that our mail leaves from.
    spf_include: str = ""  # A host of the operator's with the sources: published instead of them, so they may change.
    is_relayed: bool = False  # Mail leaves from smart hosts, too, whose addresses we do not know.
    report_address: str = ""  # Where DMARC reports should go.
    tracking_host: str = ""
    tracking_target: str = ""
    mta_sts_id: str = ""  # The version of the policy; "" plans no MTA-STS.
    mta_sts_target: str = ""  # The operator's web host that serves the policy; "": the customer serves it.
    tls_report_address: str = ""
    bimi_logo: str = ""  # An https URL.
    bimi_certificate: str = ""  # The same; "": the mark has none.


def plan(needs: Needs) -> Sequence[Wanted]:
    """Return what to publish, required records first, in the order in which a person would do it.

    Each (kind, host) is there once, but for a name whose DKIM keys share none: every selector is its own host.
    """
    wanted = [*_dkim(needs), *_spf(needs), *_return_path(needs), _dmarc(needs), *_tracking(needs), *_transport(needs)]
    if needs.bimi_logo:
        wanted.append(
            Wanted(
                kind=RecordKind.BIMI,
                type="TXT",
                host=f"{bimi.HOST_PREFIX}{needs.domain}",
                value=bimi.record(needs.bimi_logo, needs.bimi_certificate),
                is_required=False,
                why="Some mailboxes show this logo beside mail of a domain whose DMARC policy is quarantine or reject.",
            )
        )
    return sorted(wanted, key=lambda one: not one.is_required)


def spf_of(needs: Needs, host: str) -> str:
    """Return the SPF record of a host that lets our mail through.

    Where only we send from, everybody else fails (-all). The domain itself may have other senders nobody told us of,
    and smart hosts have addresses we do not know: there others are doubted (~all).
    """
    if needs.spf_include:
        terms = [f"include:{needs.spf_include}"]
    elif needs.sources:
        terms = [f"ip{6 if ':' in source else 4}:{source}" for source in dict.fromkeys(needs.sources)]
    else:  # One machine that sends from whatever address it has: the one that its name has.
        terms = [f"a:{_name(needs.mx_host)}"]
    return " ".join([spf.VERSION, *terms, "~all" if needs.is_relayed or host == needs.domain else "-all"])


def _spf(needs: Needs) -> list[Wanted]:
    if not needs.spf_include and not needs.sources and not needs.mx_host:
        return []  # We cannot name one address: "-all" alone would forbid our own mail.
    is_own = needs.return_path == needs.domain
    records = [
        Wanted(
            kind=RecordKind.SPF,
            type="TXT",
            host=needs.domain,
            value=spf_of(needs, needs.domain),
            is_required=is_own,
            why="Lets our servers send for the domain."
            if is_own
            else "Lets our servers send for the domain; some receivers look here though bounces go elsewhere.",
        )
    ]
    if needs.return_path and not is_own:
        records.append(
            Wanted(
                kind=RecordKind.RETURN_PATH_SPF,
                type="TXT",
                host=needs.return_path,
                value=spf_of(needs, needs.return_path),
                is_required=True,
                why="Lets our servers send for the return path: this is the SPF that receivers check.",
            )
        )
    return records


def _dkim(needs: Needs) -> list[Wanted]:
    has_rsa = any(key.is_required and key.value and not _is_ed25519(key) for key in needs.keys)
    return [
        Wanted(
            kind=RecordKind.DKIM,
            type="CNAME" if key.target else "TXT",
            host=f"{key.selector}._domainkey.{needs.domain}",
            value=_name(key.target) or key.value,
            # Receivers that cannot read Ed25519 take the other signature (RFC 8463 §6), so mail passes without it.
            is_required=key.is_required and bool(key.value) and not (has_rsa and _is_ed25519(key)),
            why=_why_of(key),
            selector=key.selector,
            is_needed=_is_idle(key),
            key=key.value,
        )
        for key in needs.keys
    ]


def _is_idle(key: KeyRecord) -> bool:
    return bool(key.value) and not key.is_required


def _why_of(key: KeyRecord) -> str:
    if not _is_idle(key):
        return "The key that receivers check our signatures with: without it mail is taken for forged."
    if key.needed_until is None:
        return "The next key: it signs in the place of the present one once this record is seen."
    return f"A former key: receivers check mail that it signed, so leave it there until {key.needed_until:%Y-%m-%d}."


def _dmarc(needs: Needs) -> Wanted:
    return Wanted(
        kind=RecordKind.DMARC,
        type="TXT",
        host=dmarc.host_of(needs.domain),
        value=dmarc.first(needs.report_address),
        is_required=True,
        why="Gmail, Yahoo and Outlook ask for it. It starts with reports only (p=none); when these show for some weeks "
        "that all your mail passes, go on to p=quarantine and p=reject.",
    )


def _return_path(needs: Needs) -> list[Wanted]:
    if not needs.return_path:
        return []
    return [
        Wanted(
            kind=RecordKind.RETURN_PATH,
            type="MX",
            host=needs.return_path,
            value=f"10 {_name(needs.mx_host) or NAMELESS}",
            is_required=bool(needs.mx_host),  # Else nobody can publish it.
            why="Brings bounces back, so that dead addresses get no more mail.",
        )
    ]


def _tracking(needs: Needs) -> list[Wanted]:
    if not needs.tracking_host or not needs.tracking_target:
        return []
    return [
        Wanted(
            kind=RecordKind.TRACKING,
            type="CNAME",
            host=needs.tracking_host,
            value=_name(needs.tracking_target),
            is_required=False,
            why="Links and opens are counted under your name; without it they are under the name of this installation.",
        )
    ]


def _transport(needs: Needs) -> list[Wanted]:
    """Plan MTA-STS and TLS-RPT: they are about mail that comes in, so they belong to the return path."""
    host = needs.return_path
    if not host:
        return []
    wanted = []
    if needs.mta_sts_id:
        served = f"https://{sts_policy.host_of(host)}{sts_policy.PATH}"
        wanted.append(
            Wanted(
                kind=RecordKind.MTA_STS,
                type="TXT",
                host=f"_mta-sts.{host}",
                value=f"v=STSv1; id={needs.mta_sts_id}",
                is_required=False,
                why="Says that there is a policy on mail to the return path, and which; senders fetch it from "
                f"{served}{'' if needs.mta_sts_target else ', where you serve it'}.",
            )
        )
    if needs.mta_sts_id and needs.mta_sts_target:
        wanted.append(
            Wanted(
                kind=RecordKind.MTA_STS,
                type="CNAME",
                host=sts_policy.host_of(host),
                value=_name(needs.mta_sts_target),
                is_required=False,
                why="Where senders fetch the MTA-STS policy.",
            )
        )
    if needs.tls_report_address:
        wanted.append(
            Wanted(
                kind=RecordKind.TLS_RPT,
                type="TXT",
                host=f"_smtp._tls.{host}",
                value=f"v=TLSRPTv1; rua=mailto:{needs.tls_report_address}",
                is_required=False,
                why="Asks senders to report when mail to the return path could not come by TLS.",
            )
        )
    return wanted


def _name(text: str) -> str:
    """Return a name of the operator's, from the settings, as DNS answers with it."""
    return text.lower().removesuffix(".")


def _is_ed25519(key: KeyRecord) -> bool:
    try:
        return dkim_record.parse(key.value).kind == dkim_record.ED25519
    except DkimRecordError:
        return False
