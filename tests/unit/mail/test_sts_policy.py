"""The policy file: read as RFC 8461 §3.2 writes it, another id for another text."""

import re

import pytest

from outrider.base.vocab import MtaSts
from outrider.mail import sts_policy

MX = "mx.us.example"


def fields(text: str) -> dict[str, str]:
    """Read a policy: `key: value` lines that end in CRLF."""
    assert text.endswith("\r\n")
    return dict(line.split(": ") for line in text.removesuffix("\r\n").split("\r\n"))


@pytest.mark.parametrize("mode", [MtaSts.TESTING, MtaSts.ENFORCE, MtaSts.NONE])
def test_a_policy_says_version_mode_host_and_how_long(mode: MtaSts) -> None:
    found = fields(sts_policy.compose(mode, "MX.us.example."))
    assert (found["version"], found["mode"], found["mx"]) == ("STSv1", mode.value, MX)
    assert 86_400 <= int(found["max_age"]) <= 31_557_600, "RFC 8461 §3.2"
    assert next(iter(found)) == "version"


@pytest.mark.parametrize(("mode", "host"), [(MtaSts.OFF, MX), (MtaSts.ENFORCE, "")])
def test_without_a_mode_or_a_host_there_is_none(mode: MtaSts, host: str) -> None:
    assert sts_policy.compose(mode, host) == ""
    assert sts_policy.version("") == ""


def test_protection_lasts_longer_than_a_trial() -> None:
    ages = {mode: int(fields(sts_policy.compose(mode, MX))["max_age"]) for mode in MtaSts if mode is not MtaSts.OFF}
    assert ages[MtaSts.ENFORCE] > ages[MtaSts.TESTING] == ages[MtaSts.NONE]


def test_each_text_has_an_id_of_its_own_that_a_record_can_hold() -> None:
    texts = [sts_policy.compose(mode, host) for mode in (MtaSts.TESTING, MtaSts.ENFORCE) for host in (MX, "b.example")]
    ids = [sts_policy.version(text) for text in texts]
    assert len(set(ids)) == len(texts)
    assert all(re.fullmatch("[A-Za-z0-9]{1,32}", one) for one in ids)
    assert sts_policy.version(texts[0]) == ids[0]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mta-sts.b.example", "b.example"),
        ("MTA-STS.B.example:443", "b.example"),
        ("mta-sts.b.example.", "b.example"),
        ("b.example", ""),
        ("mta-sts.", ""),
        ("xmta-sts.b.example", ""),
        ("[::1]:443", ""),
        ("", ""),
    ],
)
def test_a_host_is_read_as_a_request_names_it(host: str, name: str) -> None:
    assert sts_policy.name_of(host) == name
    if name:
        assert sts_policy.name_of(sts_policy.host_of(name)) == name
