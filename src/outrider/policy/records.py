"""Which DNS records a sending domain has to publish, and why each.

    plan(Needs("mail.shop.example", keys=..., return_path="bounces.mail.shop.example", ...)) -> Wanted, Wanted, ...

    SPF        TXT     return path, and the domain itself   whose addresses may send
    DKIM       TXT     SELECTOR._domainkey.DOMAIN           the public key; a CNAME where the operator publishes it
    DMARC      TXT     _dmarc.DOMAIN                        starts at p=none, with our report address
    MX                 return path                          bounces come back
    CNAME              tracking host                        links and opens under the customer's name
    optional: MTA-STS (TXT and host) and TLS-RPT at the return path, BIMI at the domain

A plan knows no DNS: what is published there already is merged in by `record_check`, which says so in `Finding.publish`.
Required is what mail would fail without. Sources: RFC 7208, RFC 6376, RFC 7489, RFC 5321 §5.1, RFC 8461, RFC 8460.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from outrider.base.vocab import RecordKind

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


class KeyRecord(msgspec.Struct, frozen=True):
    """What a DKIM key needs in DNS."""

    selector: str
    value: str  # The TXT value, `dkim.public_record`.
    target: str = ""  # Delegated: the host in the operator's zone that has it; "" publishes the value itself.


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What is to work for a domain. Names are lower-case A-labels without the last dot; "" leaves that part out."""

    domain: str
    keys: Sequence[KeyRecord] = ()
    return_path: str = ""  # The host of the envelope sender; may be the domain itself.
    mx_host: str = ""  # Where mail to the return path is taken; "": not known, the record says what to set.
    sources: Sequence[str] = ()  # IP addresses, or networks, that our mail leaves from.
    spf_include: str = ""  # A host of the operator's with the sources: published instead of them, so they may change.
    is_relayed: bool = False  # Mail leaves from smart hosts, too: SPF ends in ~all.
    report_address: str = ""  # Where DMARC reports should go.
    tracking_host: str = ""
    tracking_target: str = ""
    mta_sts_id: str = ""  # The version of the policy; "" plans no MTA-STS.
    mta_sts_target: str = ""  # The web host that serves the policy.
    tls_report_address: str = ""
    bimi_logo: str = ""  # An https URL.


def plan(needs: Needs) -> Sequence[Wanted]:
    """Return what to publish, required records first, in the order in which a person would do it."""
    raise NotImplementedError
