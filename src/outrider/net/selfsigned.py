"""A certificate that nobody vouches for: for receivers on this machine, first runs and the peers of tests."""

import datetime as dt
import ssl
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


class SelfSigned:
    """A certificate of its own signature, and its key. Made at once; good from 2020 to `until_year`."""

    def __init__(
        self,
        host: str,
        *,
        has_common_name: bool = True,
        until_year: int = 2120,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> None:
        """`key` None: a new one, of P-256."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        called = x509.NameOID.COMMON_NAME if has_common_name else x509.NameOID.ORGANIZATION_NAME
        name = x509.Name([x509.NameAttribute(called, host)])
        start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start.replace(year=until_year))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.pem: Final = certificate.public_bytes(serialization.Encoding.PEM).decode()
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.key_and_pem: Final = secret.decode() + self.pem  # As it goes into a file that nobody else reads.
        self.context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory(prefix="outrider-pem-") as folder:  # Python reads keys from files only.
            path = Path(folder, "both.pem")
            path.touch(mode=0o600)
            path.write_text(self.key_and_pem)
            self.context.load_cert_chain(path)
