"""How many RSA-2048 signatures could this machine make if it did nothing else? One core's rate times the cores.

Every mail carries one, so nothing that signs can be faster; `end_to_end` is compared with it.
"""

from time import perf_counter
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.lines import Line, cores

_TEXT: Final = b"from:a@shop.example\r\nto:b@route.example\r\n" * 8  # About what DKIM signs.


def measure(*, is_quick: bool) -> Line:
    """Sign for a while in one thread."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    for _ in range(100):
        key.sign(_TEXT, scheme, digest)
    count, started_s, wanted_s = 0, perf_counter(), 0.5 if is_quick else 2.0
    while perf_counter() - started_s < wanted_s:
        for _ in range(50):
            key.sign(_TEXT, scheme, digest)
        count += 50
    one_core = count / (perf_counter() - started_s)
    return Line(
        name="rsa_limit",
        n=count,
        unit="signature",
        rate=round(one_core * cores(), 1),
        cpu_us={"sign": round(1e6 / one_core, 1)},
        facts={"one_core": round(one_core, 1), "cores": cores()},
    )
