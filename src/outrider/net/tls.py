"""TLS for outgoing SMTP: the two contexts, built once at start (reading the system's certificates takes 20 ms).

Opportunistic TLS keeps listeners out, no more: whoever can change the traffic can also remove the offer of STARTTLS, so
the certificate is not checked and old ciphers are welcome; plain text is what we would use instead (RFC 7435).
Required TLS checks the certificate and the host's name, unless the settings say otherwise. Required and unverified is
the opportunistic kind, only that there is no mail without it.
"""

import ssl
from typing import Final

from outrider.net.settings import NetSettings
from outrider.wire.smtp_client import TlsMode


class TlsContexts:
    """Both contexts. Immutable; shared by all connections of a process.

    Args:
        ca_pem: certificates to trust besides the system's; "" for none.
    """

    def __init__(self, settings: NetSettings, *, ca_pem: str = "") -> None:
        self._unverified: Final = _unverified()
        self._verified: Final = ssl.create_default_context() if settings.tls_verify else self._unverified
        if ca_pem and settings.tls_verify:
            self._verified.load_verify_locations(cadata=ca_pem)

    def of(self, mode: TlsMode) -> ssl.SSLContext:
        """Return the context for a connection whose TLS is `mode`."""
        return self._verified if mode is TlsMode.REQUIRED else self._unverified


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # TLS 1.2 and later.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # 1024-bit keys and SHA-1 certificates are still out there, and beat no encryption.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
