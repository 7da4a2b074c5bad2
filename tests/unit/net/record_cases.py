"""Zones with one thing wrong, and what is to be said of each. `right` is the zone with nothing wrong."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from outrider.base.vocab import RecordCause, RecordKind, RecordState
from outrider.mail import dkim
from outrider.policy import records
from outrider.policy.records import KeyRecord, Needs
from outrider.testing.dns import Fault, Node
from tests.unit.mail.keys import ed25519_key, rsa_key

DOMAIN: Final = "mail.shop.example"
BOUNCES: Final = f"bounces.{DOMAIN}"
TRACK: Final = f"go.{DOMAIN}"
RSA_HOST: Final = f"r1._domainkey.{DOMAIN}"
ED_HOST: Final = f"e1._domainkey.{DOMAIN}"
DMARC_HOST: Final = f"_dmarc.{DOMAIN}"
STS_HOST: Final = f"_mta-sts.{BOUNCES}"
BIMI_HOST: Final = f"default._bimi.{DOMAIN}"
PERMISSION: Final = f"{DOMAIN}._report._dmarc.op.example"
DELEGATED: Final = "e1.mail-shop-example.dkim.op.example"
SPF: Final = "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"
RSA: Final = dkim.public_record(rsa_key())
ED: Final = dkim.public_record(ed25519_key())
NEEDS: Final = Needs(
    domain=DOMAIN,
    keys=(KeyRecord("r1", RSA), KeyRecord("e1", ED, DELEGATED)),
    return_path=BOUNCES,
    mx_host="mx.op.example",
    sources=("192.0.2.7", "2001:db8::7"),
    report_address="dmarc@op.example",
    tracking_host=TRACK,
    tracking_target="track.op.example",
    mta_sts_id="20261127",
    mta_sts_target="sts.op.example",
    tls_report_address="tls@op.example",
    bimi_logo="https://op.example/logo.svg",
)
PLAN: Final = records.plan(NEEDS)


def right() -> dict[str, Node]:
    """Return a zone in which every record is as planned."""
    return {
        "shop.example": Node(a=("192.0.2.80",), txt=("site-verification=1",)),
        DOMAIN: Node(txt=(SPF.replace("-all", "~all"), "other=1")),
        BOUNCES: Node(mx=((10, "mx.op.example"),), txt=(SPF,)),
        RSA_HOST: Node(txt=(RSA,)),
        ED_HOST: Node(cname=DELEGATED),
        DELEGATED: Node(txt=(ED,)),
        DMARC_HOST: Node(txt=("v=DMARC1; p=none; rua=mailto:dmarc@op.example",)),
        PERMISSION: Node(txt=("v=DMARC1",)),
        TRACK: Node(cname="track.op.example"),
        "track.op.example": Node(a=("192.0.2.8",)),
        STS_HOST: Node(txt=("v=STSv1; id=20261127",)),
        f"mta-sts.{BOUNCES}": Node(cname="sts.op.example"),
        "sts.op.example": Node(a=("192.0.2.9",)),
        f"_smtp._tls.{BOUNCES}": Node(txt=("v=TLSRPTv1; rua=mailto:tls@op.example",)),
        BIMI_HOST: Node(txt=("v=BIMI1; l=https://op.example/logo.svg",)),
    }


S, C, K = RecordState, RecordCause, RecordKind
CLOUDFLARE: Final = "104.16.1.1"
MANY: Final = " ".join(f"include:i{n}.example" for n in range(11))
LEAVES: Final = {f"i{n}.example": Node(txt=("v=spf1 -all",)) for n in range(11)}


class Case(NamedTuple):
    """One mistake."""

    name: str
    kind: RecordKind
    host: str
    changes: Mapping[str, Node | None]  # None: the name is not there.
    state: RecordState
    cause: RecordCause
    words: str  # Of the advice.


class Unchanged:
    """In the place of a node: as it was."""


KEEP: Final = Unchanged()


def at(kind: RecordKind, host: str) -> Callable[..., Case]:
    """Return a maker of cases about one record: name, node there, cause, words, and what differs elsewhere."""

    def case(
        name: str,
        node: Node | Unchanged | None,
        cause: RecordCause,
        words: str,
        *,
        state: RecordState = S.FAILED,
        more: Mapping[str, Node | None] | None = None,
    ) -> Case:
        own = {} if isinstance(node, Unchanged) else {host: node}
        return Case(name.replace(" ", "-"), kind, host, {**own, **(more or {})}, state, cause, words)

    return case


def text(*texts: str) -> Node:
    return Node(txt=texts)


def alias(target: str) -> Node:
    return Node(cname=target)


rsa = at(K.DKIM, RSA_HOST)
delegated = at(K.DKIM, ED_HOST)
spf = at(K.RETURN_PATH_SPF, BOUNCES)
policy = at(K.DMARC, DMARC_HOST)
mx = at(K.RETURN_PATH, BOUNCES)
track = at(K.TRACKING, TRACK)
sts = at(K.MTA_STS, STS_HOST)
bimi = at(K.BIMI, BIMI_HOST)
tls = at(K.TLS_RPT, f"_smtp._tls.{BOUNCES}")

CASES: Final[list[Case]] = [
    rsa("missing", None, C.MISSING, "Publish the TXT record"),
    rsa("typo", text(RSA[:60] + RSA[61:]), C.TYPO, "at character "),
    rsa("changed", text(RSA[:60] + "!" + RSA[61:]), C.TYPO, "there is !"),
    rsa("first string", text(RSA[:150]), C.TRUNCATED, "all strings"),
    rsa("second string", text(RSA[100:]), C.TRUNCATED, "A string"),
    rsa("two records", text(RSA[:150], RSA[150:]), C.SEVERAL, "is split"),
    rsa("old key too", text(RSA, ED), C.SEVERAL, "2 TXT records"),
    rsa("other key", text(ED), C.OTHER_VALUE, "Another key"),
    rsa("revoked", text("v=DKIM1; p="), C.REVOKED, "revoked"),
    rsa("quotes", text(f'"{RSA}"'), C.SYNTAX, "Quotes"),
    rsa("escaped", text(RSA.replace(";", "\\;")), C.SYNTAX, "backslashes"),
    rsa("junk", text("hello"), C.SYNTAX, "cannot read"),
    rsa("wrong k", text(RSA.replace("rsa", "ed25519")), C.TYPO, "k=rsa"),
    rsa("no mail", text(RSA + "; s=web"), C.SYNTAX, "not for mail"),
    rsa("testing", text(RSA + "; t=y"), C.TOO_OPEN, "t=y", state=S.PASSED),
    rsa("spaced", text(RSA[:99] + " " + RSA[99:]), C.NONE, "", state=S.PASSED),
    rsa("through a CNAME", alias("k.example"), C.NONE, "", state=S.PASSED, more={"k.example": text(RSA)}),
    rsa("CNAME to nothing", alias("gone.example"), C.TARGET_MISSING, "gone.example"),
    rsa("doubled", None, C.WRONG_HOST, "adds the domain", more={f"{RSA_HOST}.{DOMAIN}": text(RSA)}),
    rsa("doubled zone", None, C.WRONG_HOST, "adds the domain", more={f"{RSA_HOST}.shop.example": text(RSA)}),
    rsa("parent", None, C.WRONG_HOST, "move it", more={"r1._domainkey.shop.example": text(RSA)}),
    rsa("apex", None, C.WRONG_HOST, f"is at {DOMAIN}:", more={DOMAIN: text("v=spf1 -all", RSA)}),
    rsa("no underscore", None, C.WRONG_HOST, "underscore is lost", more={f"r1.domainkey.{DOMAIN}": text(RSA)}),
    rsa("no _domainkey", None, C.WRONG_HOST, f"is at r1.{DOMAIN}", more={f"r1.{DOMAIN}": text(RSA)}),
    rsa("silent", Node(fault=Fault.SILENT), C.TIMED_OUT, "in time", state=S.UNVERIFIED),
    rsa("servfail", Node(fault=Fault.SERVFAIL), C.SERVERS_FAILED, "failed", state=S.UNVERIFIED),
    rsa("loop", alias("l.example"), C.LOOP, "circle", more={"l.example": alias(RSA_HOST)}),
    delegated("no CNAME", None, C.MISSING, "Publish the CNAME"),
    delegated("no target", KEEP, C.TARGET_MISSING, "operator", more={DELEGATED: None}),
    delegated("other target", alias("else.example"), C.OTHER_VALUE, "else.example"),
    delegated("target typo", alias(DELEGATED.replace("dkim", "dkm")), C.TYPO, "Nearly"),
    delegated("target doubled", alias(f"{DELEGATED}.{DOMAIN}"), C.TYPO, "with a dot"),
    delegated("copied", text(ED), C.FLATTENED, "CNAME to", state=S.PASSED),
    delegated("another way", alias("w.example"), C.NONE, "", state=S.PASSED, more={"w.example": alias(DELEGATED)}),
    delegated("copy", alias("w.example"), C.FLATTENED, "copy", state=S.PASSED, more={"w.example": text(ED)}),
    delegated("proxied key", Node(a=(CLOUDFLARE,)), C.PROXIED, "Cloudflare"),
    delegated("stale target", KEEP, C.OTHER_VALUE, "Another key", more={DELEGATED: text(RSA)}),
    delegated(
        "target silent", KEEP, C.TIMED_OUT, "in time", state=S.UNVERIFIED, more={DELEGATED: Node(fault=Fault.SILENT)}
    ),
    delegated("CNAME elsewhere", None, C.WRONG_HOST, "adds the domain", more={f"{ED_HOST}.{DOMAIN}": alias(DELEGATED)}),
    delegated("key loop", KEEP, C.LOOP, "circle", more={DELEGATED: alias("l.example"), "l.example": alias(DELEGATED)}),
    spf("no SPF", Node(mx=((10, "mx.op.example"),)), C.MISSING, "Publish the TXT"),
    spf("two SPF", text(SPF, "v=spf1 mx -all"), C.SEVERAL, "2 SPF"),
    spf("not covered", text("v=spf1 ip4:192.0.2.7 -all"), C.NOT_COVERED, "does not cover 2001:db8::7"),
    spf("wider", text("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all"), C.NONE, "", state=S.PASSED),
    spf("included", text("v=spf1 include:s.example -all"), C.NONE, "", state=S.PASSED, more={"s.example": text(SPF)}),
    spf("redirected", text("v=spf1 redirect=s.example"), C.NONE, "", state=S.PASSED, more={"s.example": text(SPF)}),
    spf("open", text("v=spf1 +all"), C.TOO_OPEN, "everybody", state=S.PASSED),
    spf("word", text("v=spf1 ipv4:192.0.2.7 -all"), C.SYNTAX, "ipv4:192.0.2.7 is no mechanism"),
    spf("no space", text("v=spf1ip4:192.0.2.7 -all"), C.SYNTAX, "begin with v=spf1"),
    spf(
        "eleven",
        text(f"v=spf1 {MANY} ip4:192.0.2.7 ip6:2001:db8::7 -all"),
        C.TOO_MANY_LOOKUPS,
        "stop at 10",
        more={**LEAVES},
    ),
    spf(
        "eleven behind",
        text(f"v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 {MANY} -all"),
        C.TOO_MANY_LOOKUPS,
        "others' may not",
        state=S.PASSED,
        more={**LEAVES},
    ),
    spf(
        "void",
        text("v=spf1 a:x1.example a:x2.example a:x3.example ip4:192.0.2.7 -all"),
        C.TOO_MANY_LOOKUPS,
        "lead nowhere",
    ),
    spf(
        "circle",
        text("v=spf1 include:s.example -all"),
        C.LOOP,
        "back to itself",
        more={"s.example": text(f"v=spf1 include:{BOUNCES} -all")},
    ),
    spf(
        "include fails",
        text("v=spf1 include:s.example -all"),
        C.SERVERS_FAILED,
        "cannot be told",
        state=S.UNVERIFIED,
        more={"s.example": Node(fault=Fault.SERVFAIL)},
    ),
    spf("include of nothing", text("v=spf1 include:s.example -all"), C.SYNTAX, "leads to no SPF record"),
    spf(
        "SPF doubled",
        Node(mx=((10, "mx.op.example"),)),
        C.WRONG_HOST,
        "adds the domain",
        more={f"{BOUNCES}.shop.example": text(SPF)},
    ),
    policy("no DMARC", None, C.MISSING, "Publish"),
    policy(
        "inherited",
        None,
        C.INHERITED,
        "p=none",
        state=S.PASSED,
        more={"_dmarc.shop.example": text("v=DMARC1; p=reject; sp=none")},
    ),
    policy("two DMARC", text("v=DMARC1; p=none", "v=DMARC1; p=reject"), C.SEVERAL, "2 DMARC"),
    policy("no policy", text("v=DMARC1; rua=mailto:a@b.example"), C.SYNTAX, "no p="),
    policy(
        "own reports",
        text("v=DMARC1; p=reject; rua=mailto:a@b.example"),
        C.NOT_REPORTED,
        "dmarc@op.example",
        state=S.PASSED,
    ),
    policy(
        "DMARC doubled",
        None,
        C.WRONG_HOST,
        "adds the domain",
        more={f"{DMARC_HOST}.shop.example": text("v=DMARC1; p=none")},
    ),
    policy("DMARC quoted", text('"v=DMARC1; p=none"'), C.SYNTAX, "no quotes"),
    policy("reports not allowed", KEEP, C.NOT_REPORTED, f"at {PERMISSION}.", state=S.PASSED, more={PERMISSION: None}),
    policy("permission silent", KEEP, C.NONE, "", state=S.PASSED, more={PERMISSION: Node(fault=Fault.SILENT)}),
    mx("no MX", text(SPF), C.MISSING, "Publish the MX"),
    mx("null MX", Node(mx=((0, "."),)), C.OTHER_VALUE, "takes no mail"),
    mx("other MX", Node(mx=((10, "aspmx.l.google.example"),)), C.OTHER_VALUE, "Mail goes to aspmx"),
    mx("MX typo", Node(mx=((10, "mx.op.exampel"),)), C.TYPO, "Nearly"),
    mx("MX beside", Node(mx=((10, "mx.op.example"), (10, "a.example"))), C.SEVERAL, "a.example"),
    mx("MX behind", Node(mx=((5, "mx.op.example"), (10, "a.example"))), C.NONE, "", state=S.PASSED),
    mx(
        "MX doubled",
        text(SPF),
        C.WRONG_HOST,
        "adds the domain",
        more={f"{BOUNCES}.{DOMAIN}": Node(mx=((10, "mx.op.example"),))},
    ),
    track("no tracking", None, C.MISSING, "Publish the CNAME"),
    track("other host", alias("else.example"), C.OTHER_VALUE, "else.example"),
    track("another way", alias("w.example"), C.NONE, "", state=S.PASSED, more={"w.example": alias("track.op.example")}),
    track("proxied", Node(a=(CLOUDFLARE,), aaaa=("2606:4700::1",)), C.PROXIED, "switch the proxy off"),
    track("flattened", Node(a=("192.0.2.8",)), C.FLATTENED, "stay behind", state=S.PASSED),
    track("own address", Node(a=("192.0.2.99",)), C.FLATTENED, "addresses of its own"),
    track("tracking loop", alias(TRACK), C.OTHER_VALUE, "leads to"),
    sts("no STS", None, C.MISSING, "Publish"),
    sts("other STS", text("v=STSv1; id=7"), C.OTHER_VALUE, "with id=20261127 senders fetch it anew", state=S.PASSED),
    sts("STS without id", text("v=STSv1;"), C.OTHER_VALUE, "id="),
    sts("two STS", text("v=STSv1; id=1", "v=STSv1; id=2"), C.SEVERAL, "2 STSv1"),
    sts("STS unreadable", text("v=STSv1; id"), C.SYNTAX, "cannot read"),
    bimi("no BIMI", None, C.MISSING, "Publish"),
    bimi("other logo", text("v=BIMI1; l=https://cdn.elsewhere.example/brand/7/mark"), C.OTHER_VALUE, "l= should be"),
    bimi("BIMI too early", KEEP, C.NOT_ENFORCED, "p=quarantine or p=reject", state=S.PASSED),
    bimi(
        "BIMI for a part",
        KEEP,
        C.NOT_ENFORCED,
        "for all mail",
        state=S.PASSED,
        more={DMARC_HOST: text("v=DMARC1; p=quarantine; pct=50; rua=mailto:dmarc@op.example")},
    ),
    bimi(
        "BIMI not for what is below",
        KEEP,
        C.NOT_ENFORCED,
        "for all mail",
        state=S.PASSED,
        more={DMARC_HOST: text("v=DMARC1; p=reject; sp=none; rua=mailto:dmarc@op.example")},
    ),
    bimi(
        "BIMI in order",
        KEEP,
        C.NONE,
        "",
        state=S.PASSED,
        more={DMARC_HOST: text("v=DMARC1; p=quarantine; rua=mailto:dmarc@op.example")},
    ),
    bimi(
        "BIMI with the policy above",
        KEEP,
        C.NONE,
        "",
        state=S.PASSED,
        more={DMARC_HOST: None, "_dmarc.shop.example": text("v=DMARC1; p=reject")},
    ),
    tls("TLS-RPT typo", text("v=TLSRPTv1; rua=mailto:tls@op.exampl"), C.TYPO, "Nearly"),
]
