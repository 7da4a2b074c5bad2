"""A check-up as people read it and as strangers may: the page to share holds no secret and no mailbox."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from outrider.cli import doctor_report
from outrider.cli.doctor_report import Report
from outrider.config import Origin, Setting
from outrider.policy import checkup

KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu5oIUrFDWZK7F4thFxpZa2or6jBEX3cSL6b2"
CHECKS = [
    checkup.fail("domain.dkim", f"typo: v=DKIM1; k=rsa; p={KEY}", "Publish p=AbCdEfGhIj+/=.", "mail.shop.example"),
    checkup.warn("domain.dmarc", "not reported: rua=mailto:ann.lee+x@customer.example", "Add <dmarc@us.example>."),
    checkup.ok("settings.data_dir", f"{Path.home()}/data, for its owner alone."),
    checkup.skip("egress.ptr", "evil | <script>alert(1)</script> \x1b[2J`x`\nnext", "Ask.", "192.0.2.7"),
]
REPORT = Report(
    state=checkup.worst(CHECKS),
    at=datetime(2026, 11, 27, 12, 30, tzinfo=UTC),
    version="0.1.0",
    counts=checkup.counted(CHECKS),
    checks=checkup.arranged(CHECKS),
    settings=[
        Setting("net.dns_wait_s", "10.0", Origin.DEFAULT),
        Setting("identity.dmarc_reports", "dmarc@us.example", Origin.FILE, "/etc/outrider.toml"),
    ],
)


def test_people_see_settings_with_origin_checks_by_area_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    doctor_report.tell(REPORT)
    out = capsys.readouterr().out
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0].split() == ["SETTING", "VALUE", "FROM"]
    assert [one for one in lines if one in ("Settings", "Sending addresses", "Domains")] == [
        "Settings",
        "Sending addresses",
        "Domains",
    ]
    assert lines[-1] == "✘ 1 ok, 1 warnings, 1 failures, 1 skipped"
    assert any(line.startswith("✘ fail  dkim") for line in lines)
    assert "→ Publish p=AbCdEfGhIj+/=." in " ".join(lines)
    assert "\x1b" not in out


@pytest.mark.parametrize("is_html", [False, True])
def test_the_page_to_share_holds_no_key_no_mailbox_no_home(is_html: bool) -> None:
    page = doctor_report.page(REPORT, is_html=is_html)
    for secret in (KEY, KEY[:20], "AbCdEfGhIj", "ann.lee", "dmarc@", str(Path.home()), "\x1b", "<script>"):
        assert secret not in page
    for words in (
        "check-up of 2026-11-27 12:30 UTC",
        "mail.shop.example",
        "192.0.2.7",
        "customer.example",
        "us.example",
    ):
        assert words in page
    assert "dns_wait_s" not in page, "what is as it comes is of no help"


def test_markdown_is_a_table_whatever_strangers_wrote() -> None:
    rows = [line for line in doctor_report.page(REPORT, is_html=False).splitlines() if line.startswith("| ")]
    assert {row.replace("\\|", "").count("|") for row in rows[:5]} == {7}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("host _dmarc.shop.example and 2001:db8::1", "host _dmarc.shop.example and 2001:db8::1"),
        ("ann@shop.example, <bob@b.example>", "...@shop.example, <...@b.example>"),
        ("mailto:ann@shop.example!10m", "mailto:...@shop.example!10m"),
        ("v=DKIM1; p=", "v=DKIM1; p="),
        ("v=DMARC1; p=none; sp=reject", "v=DMARC1; p=none; sp=reject"),
        (
            "o202611r._domainkey.a-long-name-of-a-shop-that-sells.example",
            "o202611r._domainkey.a-long-name-of-a-shop-that-sells.example",
        ),
    ],
)
def test_only_what_must_not_be_read_is_cut(text: str, shown: str) -> None:
    assert doctor_report.shared(text) == shown
