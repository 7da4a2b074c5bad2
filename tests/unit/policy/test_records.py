"""What is to be published for which domain."""

from datetime import UTC, datetime

import msgspec
import pytest

from outrider.base.vocab import RecordKind
from outrider.mail import dkim, dmarc, spf
from outrider.policy import records
from outrider.policy.records import NAMELESS, KeyRecord, Needs, Wanted
from tests.unit.mail.keys import ed25519_key, rsa_key

RSA, ED = dkim.public_record(rsa_key()), dkim.public_record(ed25519_key())
BIMI = "v=BIMI1; l=https://op.example/l.svg; a=https://op.example/l.pem"
FULL = Needs(
    domain="mail.shop.example",
    keys=(KeyRecord("r1", RSA), KeyRecord("e1", ED, "e1.dkim.op.example")),
    return_path="bounces.mail.shop.example",
    mx_host="mx.op.example",
    sources=("192.0.2.7", "2001:db8::7", "192.0.2.7"),
    report_address="d@op.example",
    tracking_host="go.mail.shop.example",
    tracking_target="track.op.example",
    mta_sts_id="1",
    mta_sts_target="sts.op.example",
    tls_report_address="tls@op.example",
    bimi_logo="https://op.example/l.svg",
    bimi_certificate="https://op.example/l.pem",
)


def by_kind(needs: Needs) -> dict[RecordKind, list[Wanted]]:
    found: dict[RecordKind, list[Wanted]] = {}
    for wanted in records.plan(needs):
        found.setdefault(wanted.kind, []).append(wanted)
    return found


def test_everything_is_planned_once_and_says_why() -> None:
    plan = records.plan(FULL)
    assert {wanted.kind for wanted in plan} == set(RecordKind)
    assert len({(wanted.kind, wanted.host) for wanted in plan}) == len(plan)
    assert all(wanted.why.endswith(".") and wanted.value for wanted in plan)
    assert [wanted.is_required for wanted in plan] == sorted((w.is_required for w in plan), reverse=True)


def test_values_and_hosts() -> None:
    rows = [(w.kind.value, w.type, w.host, w.value, w.is_required) for w in records.plan(FULL)]
    assert rows == [
        ("dkim", "TXT", "r1._domainkey.mail.shop.example", RSA, True),
        ("return_path_spf", "TXT", "bounces.mail.shop.example", "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all", True),
        ("return_path", "MX", "bounces.mail.shop.example", "10 mx.op.example", True),
        ("dmarc", "TXT", "_dmarc.mail.shop.example", "v=DMARC1; p=none; rua=mailto:d@op.example", True),
        ("dkim", "CNAME", "e1._domainkey.mail.shop.example", "e1.dkim.op.example", False),
        ("spf", "TXT", "mail.shop.example", "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 ~all", False),
        ("tracking", "CNAME", "go.mail.shop.example", "track.op.example", False),
        ("mta_sts", "TXT", "_mta-sts.bounces.mail.shop.example", "v=STSv1; id=1", False),
        ("mta_sts", "CNAME", "mta-sts.bounces.mail.shop.example", "sts.op.example", False),
        ("tls_rpt", "TXT", "_smtp._tls.bounces.mail.shop.example", "v=TLSRPTv1; rua=mailto:tls@op.example", False),
        (
            "bimi",
            "TXT",
            "default._bimi.mail.shop.example",
            "v=BIMI1; l=https://op.example/l.svg; a=https://op.example/l.pem",
            False,
        ),
    ]


def test_a_bare_domain_needs_dmarc_alone() -> None:
    assert [wanted.kind for wanted in records.plan(Needs(domain="shop.example"))] == [RecordKind.DMARC]


def test_a_return_path_at_the_domain_has_one_spf_record_and_it_counts() -> None:
    found = by_kind(msgspec.structs.replace(FULL, return_path="mail.shop.example"))
    assert RecordKind.RETURN_PATH_SPF not in found
    (record,) = found[RecordKind.SPF]
    assert record.is_required
    assert record.value.endswith("~all")  # Others may send for the domain, too.


def test_an_include_stands_for_the_addresses() -> None:
    found = by_kind(msgspec.structs.replace(FULL, spf_include="spf.op.example", is_relayed=True))
    assert [found[kind][0].value for kind in (RecordKind.SPF, RecordKind.RETURN_PATH_SPF)] == [
        "v=spf1 include:spf.op.example ~all",
        "v=spf1 include:spf.op.example ~all",
    ]


def test_a_key_that_only_waits_makes_no_other_optional() -> None:
    keys = (KeyRecord("r1", RSA, is_required=False), KeyRecord("e1", ED))
    found = by_kind(msgspec.structs.replace(FULL, keys=keys))[RecordKind.DKIM]
    assert {one.selector: one.is_required for one in found} == {"r1": False, "e1": True}


def test_a_key_that_waits_or_rests_says_so() -> None:
    until = datetime(2026, 12, 5, 8, tzinfo=UTC)
    keys = (
        KeyRecord("r1", RSA),
        KeyRecord("r2", RSA, is_required=False),
        KeyRecord("r0", RSA, is_required=False, needed_until=until),
        KeyRecord("e1", ED),
        KeyRecord("r3", "", "r3.op.example", is_required=False),
    )
    found = {one.selector: one for one in by_kind(Needs(domain="shop.example", keys=keys))[RecordKind.DKIM]}
    assert {name: (one.is_required, one.is_needed) for name, one in found.items()} == {
        "r1": (True, False),
        "r2": (False, True),
        "r0": (False, True),
        "e1": (False, False),
        "r3": (False, False),
    }
    assert found["r2"].why.startswith("The next key: ")
    assert "until 2026-12-05" in found["r0"].why


def test_without_an_address_the_machines_name_stands_for_it() -> None:
    found = by_kind(msgspec.structs.replace(FULL, sources=()))
    assert f"a:{FULL.mx_host}" in found[RecordKind.RETURN_PATH_SPF][0].value.split()
    assert f"a:{FULL.mx_host}" in found[RecordKind.SPF][0].value.split()


def test_without_address_and_name_no_spf_forbids_our_own_mail() -> None:
    found = by_kind(msgspec.structs.replace(FULL, sources=(), mx_host=""))
    assert not {RecordKind.SPF, RecordKind.RETURN_PATH_SPF} & set(found)


def test_an_ed25519_key_alone_is_required() -> None:
    (key,) = by_kind(Needs(domain="shop.example", keys=(KeyRecord("e1", ED),)))[RecordKind.DKIM]
    assert (key.is_required, key.selector, key.key) == (True, "e1", ED)


def test_a_name_kept_for_the_next_key_is_planned_and_not_required() -> None:
    keys = (KeyRecord("r1", RSA), KeyRecord("e2", "", "E2.op.example."))
    found = by_kind(Needs(domain="shop.example", keys=keys))[RecordKind.DKIM]
    assert [(wanted.value, wanted.is_required, wanted.key) for wanted in found] == [
        (RSA, True, RSA),
        ("e2.op.example", False, ""),
    ]


def test_a_machine_without_a_name_is_no_fault_of_the_domain() -> None:
    (record,) = by_kind(msgspec.structs.replace(FULL, mx_host=""))[RecordKind.RETURN_PATH]
    assert (record.value, record.is_required) == (f"10 {NAMELESS}", False)


@pytest.mark.parametrize("kind", [RecordKind.SPF, RecordKind.RETURN_PATH_SPF, RecordKind.DMARC])
def test_what_is_planned_can_be_read(kind: RecordKind) -> None:
    (record,) = by_kind(FULL)[kind]
    assert (dmarc if kind is RecordKind.DMARC else spf).parse(record.value)


def test_a_policy_that_the_customer_serves_has_no_host_of_ours_and_says_where_it_belongs() -> None:
    (record,) = by_kind(msgspec.structs.replace(FULL, mta_sts_target=""))[RecordKind.MTA_STS]
    assert (record.type, record.host) == ("TXT", "_mta-sts.bounces.mail.shop.example")
    assert "https://mta-sts.bounces.mail.shop.example/.well-known/mta-sts.txt, where you serve it." in record.why


def test_mta_sts_is_planned_where_it_is_switched_on() -> None:
    assert RecordKind.MTA_STS not in by_kind(msgspec.structs.replace(FULL, mta_sts_id=""))
    assert RecordKind.MTA_STS not in by_kind(msgspec.structs.replace(FULL, return_path=""))
