"""Sites: records that can be compared and shown."""

from outrider.net.site import Host, Site
from outrider.wire.smtp_client import Credentials, TlsMode


def test_a_site_defaults_to_what_mail_hosts_do() -> None:
    site = Site("mx.partner.example", (Host("mx.partner.example", ("127.0.0.1",)),))
    assert (site.port, site.tls, site.credentials) == (25, TlsMode.OPPORTUNISTIC, None)


def test_a_site_shows_no_password() -> None:
    site = Site("relay.example", (), 587, TlsMode.REQUIRED, Credentials("user", "hunter2"))
    assert "hunter2" not in repr(site)


def test_sites_are_equal_by_value() -> None:
    assert Site("a.example", (Host("a.example", ("::1",)),)) == Site("a.example", (Host("a.example", ("::1",)),))
