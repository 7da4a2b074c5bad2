"""Alignment: which names DMARC takes for one, and what stands in a From that it would not."""

import pytest

from outrider.base import limits
from outrider.mail import address, headers
from outrider.policy import align


@pytest.mark.parametrize(
    ("from_domain", "other", "relaxed", "strict"),
    [
        ("shop.example", "shop.example", True, True),
        ("mail.shop.example", "bounces.shop.example", True, False),
        ("shop.example", "b.mail.shop.example", True, False),
        ("a.b.shop.co.uk", "shop.co.uk", True, False),
        ("xn--bcher-kva.example", "b.xn--bcher-kva.example", True, False),
        # Not one, however alike.
        ("shop.example", "shop.example.evil.example", False, False),
        ("shop.example", "evilshop.example", False, False),
        ("shop.example", "sh0p.example", False, False),
        ("bücher.example", "xn--bcher-kva.example", False, False),  # Names come as A-labels.
        ("shop.co.uk", "other.co.uk", False, False),
        ("a.github.io", "b.github.io", False, False),
        ("shop.example", "shop.test", False, False),
        # A public suffix is nobody's.
        ("co.uk", "shop.co.uk", False, False),
        ("co.uk", "uk", False, False),
        ("shop.co.uk", "co.uk", False, False),
        ("example", "shop.example", False, False),
    ],
)
def test_names_are_one_by_their_organizational_domain(
    from_domain: str, other: str, relaxed: bool, strict: bool
) -> None:
    assert align.is_aligned(from_domain, other) is relaxed
    assert align.is_aligned(from_domain, other, is_strict=True) is strict


@pytest.mark.parametrize(
    ("signers", "envelope", "dkim", "spf"),
    [
        (["shop.example"], "b.shop.example", True, True),
        (["platform.example", "shop.example"], "", True, False),
        (["platform.example"], "shop.example", False, True),
        (["platform.example"], "bounces.platform.example", False, False),
        ([], "", False, False),
    ],
)
def test_one_aligned_name_is_enough(signers: list[str], envelope: str, dkim: bool, spf: bool) -> None:
    found = align.judge("shop.example", signers=signers, envelope=envelope)
    assert (found.dkim, found.spf, found.can_pass) == (dkim, spf, dkim or spf)


@pytest.mark.parametrize(
    ("name", "project", "wanted"),
    [
        ("Ann", "Shop", "Ann via Shop"),
        ("Ann Ödegård", "Büro, GmbH", "Ann Ödegård via Büro, GmbH"),
        ("", "Shop", "via Shop"),
        ("Ann", "", "Ann via us"),
        ("Ann <ann@bank.example>", "Shop", "Ann ann@bank.example via Shop"),
        ("Ann\r\nBcc: x@evil.example", "S\x00hop\u202e", "AnnBcc: x@evil.example via Shop"),
        ("x" * 500, "Shop", "x" * 191 + " via Shop"),
        ("Ann", "y" * 500, "Ann via " + "y" * 97),
        ("x" * 500, "y" * 500, "x" * 98 + " via " + "y" * 97),
    ],
)
def test_a_rewritten_from_says_whose_it_is_and_who_sends_it(name: str, project: str, wanted: str) -> None:
    made = align.via(name, project)
    assert made == wanted
    assert len(made) <= limits.FROM_NAME_CHARS_MAX
    headers.check_display_name(made, field="name")
    assert headers.mailbox("From", made, address.parse("noreply@shop.example")).count(b"\r\n ") < 30
