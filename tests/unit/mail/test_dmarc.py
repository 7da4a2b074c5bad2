"""DMARC records: read, started and merged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.mail import dmarc
from outrider.mail.dmarc import Dmarc, DmarcError

US = "dmarc@op.example"


def test_a_record_with_everything_is_read() -> None:
    found = dmarc.parse(
        "v=DMARC1; p=Quarantine; sp=reject; adkim=s; aspf=r; pct=50; fo=1; ri=3600; np=none; "
        "rua=mailto:A@b.example!10m, https://x.example/r; ruf=mailto:f@b.example"
    )
    assert found == Dmarc(
        policy="quarantine",
        subdomain_policy="reject",
        reports=("mailto:A@b.example!10m", "https://x.example/r"),
        failure_reports=("mailto:f@b.example",),
        is_dkim_strict=True,
        percent=50,
    )
    assert found.report_addresses == ("a@b.example",)
    assert dmarc.parse("v=DMARC1;p=none").subdomain_policy == "none"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p=none; v=DMARC1",
        "v=DMARC2; p=none",
        "v=dmarc1; p=none",
        "v=DMARC1",
        "v=DMARC1; p=",
        "v=DMARC1; p=monitor",
        "v=DMARC1; p=none; sp=x",
        "v=DMARC1; p=none; pct=101",
        "v=DMARC1; p=none; pct=x",
        "v=DMARC1; p=none; adkim=relaxed",
        "v=DMARC1; p=none; rua=a@b.example",
        "v=DMARC1; p=none; p=reject",
        "v=DMARC1 p=none",
    ],
)
def test_what_receivers_cannot_use_is_refused(text: str) -> None:
    with pytest.raises(DmarcError):
        dmarc.parse(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("v=DMARC1; p=none", True),
        (" v = DMARC1;", True),
        ("v=DMARC1", True),
        ("v=DMARC10; p=none", False),
        ("v=spf1", False),
        ('"v=DMARC1; p=none"', False),
    ],
)
def test_others_at_that_name_do_not_count(text: str, is_one: bool) -> None:
    assert dmarc.is_dmarc(text) == is_one


def test_a_first_record_asks_for_reports_alone() -> None:
    assert dmarc.first(US) == f"v=DMARC1; p=none; rua=mailto:{US}"
    assert dmarc.first("") == "v=DMARC1; p=none"
    assert dmarc.parse(dmarc.first("a,b!c;d@op.example")).report_addresses == ("a,b!c;d@op.example",)


@pytest.mark.parametrize(
    ("published", "merged"),
    [
        ("v=DMARC1; p=reject", f"v=DMARC1; p=reject; rua=mailto:{US}"),
        (
            "v=DMARC1;p=reject;rua=mailto:a@b.example;x=y",
            f"v=DMARC1; p=reject; rua=mailto:a@b.example,mailto:{US}; x=y",
        ),
        (f"v=DMARC1; p=none; rua=mailto:{US.upper()}!1m", f"v=DMARC1; p=none; rua=mailto:{US.upper()}!1m"),
        ("v=DMARC1; p=wrong", "v=DMARC1; p=wrong"),
    ],
)
def test_our_address_joins_the_others(published: str, merged: str) -> None:
    assert dmarc.merge(published, US) == merged
    assert dmarc.merge(merged, US) == merged
    assert dmarc.merge(published, "") == published


@given(
    st.sampled_from(dmarc.POLICIES),
    st.lists(st.emails().map(lambda address: address.encode("ascii", "ignore").decode()), max_size=3),
    st.emails(),
)
def test_merging_twice_changes_nothing_and_keeps_the_policy(policy: str, addresses: list[str], address: str) -> None:
    record = f"v=DMARC1; p={policy}"
    for one in addresses:
        record = dmarc.merge(record, one)
    merged = dmarc.merge(record, address)
    assert dmarc.merge(merged, address) == merged
    assert dmarc.parse(merged).policy == policy
    assert set(dmarc.parse(record).report_addresses) <= set(dmarc.parse(merged).report_addresses)
    assert address.lower() in dmarc.parse(merged).report_addresses


@given(st.text(max_size=80) | st.text(max_size=80).map("v=DMARC1; {}".format))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        found = dmarc.parse(text)
    except DmarcError:
        assert dmarc.merge(text, US) == text
    else:
        assert found.policy in dmarc.POLICIES


def test_where_policies_and_permissions_are() -> None:
    assert dmarc.host_of("mail.shop.example") == "_dmarc.mail.shop.example"
    assert dmarc.inherited_host("mail.shop.example") == "_dmarc.shop.example"
    assert dmarc.inherited_host("shop.example") == ""
    assert dmarc.report_host("mail.shop.example", US) == "mail.shop.example._report._dmarc.op.example"
    assert dmarc.report_host("mail.shop.example", "d@reports.shop.example") == ""
