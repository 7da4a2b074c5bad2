"""How many RSA-2048 signatures could this machine make if it did nothing else? All cores at once, a process for each.

Every mail carries one, so nothing that signs can be faster; `end_to_end` is compared with it. One core's rate times the
cores is 10 to 25 % more than they make together: they share turbo and, where two are one core's threads, its units.
`facts.one_core` is what a process makes alone.
"""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from time import perf_counter, process_time
from typing import Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.lines import Line, cores

_TEXT: Final = b"from:a@shop.example\r\nto:b@route.example\r\n" * 8  # About what DKIM signs.
_START_S: Final = 60.0  # For the slowest process to start and make its key.


class Signed(msgspec.Struct, frozen=True):
    """What one process did."""

    count: int
    elapsed_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Signatures a second."""
        return self.count / self.elapsed_s


def measure(*, is_quick: bool) -> Line:
    """Sign for a while in one process, then in one for each core."""
    wanted_s = 0.5 if is_quick else 2.0
    (alone,) = _at_once(1, wanted_s / 2)
    together = _at_once(cores(), wanted_s)
    count = sum(signed.count for signed in together)
    return Line(
        name="rsa_limit",
        n=count,
        unit="signature",
        rate=round(sum(signed.rate for signed in together), 1),
        cpu_us={"sign": round(sum(signed.cpu_s for signed in together) / count * 1e6, 1)},
        facts={"one_core": round(alone.rate, 1), "cores": len(together)},
    )


def _at_once(process_count: int, wanted_s: float) -> Sequence[Signed]:
    """Sign in so many processes, all of which begin when the last is ready."""
    context = multiprocessing.get_context("spawn")  # A fork of a program with threads may hang.
    start = context.Barrier(process_count)
    signers, readers = [], []
    for _ in range(process_count):
        reader, writer = context.Pipe(duplex=False)
        signer = context.Process(target=_sign, args=(start, writer, wanted_s))
        signer.start()
        writer.close()  # Ours: so that the end of a process that failed is an EOFError here.
        signers.append(signer)
        readers.append(reader)
    signed = [msgspec.msgpack.decode(reader.recv_bytes(), type=Signed) for reader in readers]
    for signer in signers:
        signer.join()
    return signed


def _sign(start: Barrier, told: Connection, wanted_s: float) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    for _ in range(100):
        key.sign(_TEXT, scheme, digest)
    start.wait(_START_S)
    count, started_s, cpu_started_s = 0, perf_counter(), process_time()
    while (elapsed_s := perf_counter() - started_s) < wanted_s:
        for _ in range(50):
            key.sign(_TEXT, scheme, digest)
        count += 50
    told.send_bytes(msgspec.msgpack.encode(Signed(count, elapsed_s, process_time() - cpu_started_s)))
