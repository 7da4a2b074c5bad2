"""The two contexts: what each checks."""

import ssl

import pytest

from outrider.net.selfsigned import SelfSigned
from outrider.net.settings import NetSettings
from outrider.net.tls import TlsContexts
from outrider.wire.smtp_client import TlsMode


def test_opportunistic_checks_nothing_and_required_checks_all() -> None:
    contexts = TlsContexts(NetSettings(ehlo_name="us.example"))
    assert contexts.of(TlsMode.OPPORTUNISTIC).verify_mode is ssl.CERT_NONE
    assert contexts.of(TlsMode.REQUIRED).verify_mode is ssl.CERT_REQUIRED
    assert contexts.of(TlsMode.REQUIRED).check_hostname


def test_required_can_go_unverified_for_one_connection() -> None:
    contexts = TlsContexts(NetSettings(ehlo_name="us.example"))
    assert contexts.of(TlsMode.REQUIRED_UNVERIFIED).verify_mode is ssl.CERT_NONE
    assert TlsMode.REQUIRED_UNVERIFIED.is_required


def test_verification_can_be_switched_off() -> None:
    contexts = TlsContexts(NetSettings(ehlo_name="us.example", tls_verify=False))
    assert contexts.of(TlsMode.REQUIRED).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("mode", list(TlsMode))
def test_nothing_older_than_tls_1_2_is_spoken(mode: TlsMode) -> None:
    assert TlsContexts(NetSettings(ehlo_name="us.example")).of(mode).minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_certificate_can_be_added_to_the_trusted() -> None:
    added = SelfSigned("mx.example")
    settings = NetSettings(ehlo_name="us.example")
    before = TlsContexts(settings).of(TlsMode.REQUIRED).cert_store_stats()["x509"]
    assert TlsContexts(settings, ca_pem=added.pem).of(TlsMode.REQUIRED).cert_store_stats()["x509"] == before + 1
