"""The certificate that peers show."""

import ssl

from cryptography import x509

from outrider.net.selfsigned import SelfSigned


def test_a_certificate_names_its_host_and_fits_its_context() -> None:
    one = SelfSigned("mx.example")
    names = x509.load_pem_x509_certificate(one.pem.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["mx.example"]
    client = ssl.create_default_context(cadata=one.pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="mx.example")
    theirs = one.context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    for _ in range(10):
        waiting = [side for side in waiting if not _is_done(side)]
    assert waiting == []


def _is_done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
