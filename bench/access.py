"""What does it cost to know who calls? CPU of one `authenticate` and `spend`, by form, the header read too.

A key that was just looked up, as on a busy server, so that no query is in the figure; the writing of counts is, as it
runs beside. Signed calls are measured apart, 64 at once: each waits for a commit, shared by those that came with it.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter, process_time
from typing import Final

import msgspec

from bench.lines import Line
from bench.rig import temporary_dir
from outrider.engine.service import run_all
from outrider.faces.api import credentials
from outrider.obs.log import make_logger
from outrider.obs.settings import LogSettings
from outrider.services.access import Access
from outrider.services.accounts import Accounts, KeyPair, KeyTerms
from outrider.store import migrate
from outrider.store.embedded import EmbeddedPostgres
from outrider.store.pool import Store
from outrider.store.settings import EmbeddedSettings, StoreSettings
from outrider.store.vault import Vault
from outrider.testing.clock import RealClock
from outrider.wire import body_signature

_CALLS: Final = 100_000
_TURNS: Final = 5  # The best counts: the others shared the core.
_SIGNED: Final = 5_000
_AT_ONCE: Final = 64
_BODY: Final = {"Action": "SendEmail", "SendEmail": "a@shop.example", "TargetEmailAddress": ["b@partner.example"]}
_OTHERS: Final = [(name, b"-" * 20) for name in (b"host", b"user-agent", b"accept", b"content-type", b"content-length")]

Headers = list[tuple[bytes, bytes]]


async def measure(limit: Line, *, is_quick: bool) -> AsyncIterator[Line]:
    """Measure each form on an embedded server."""
    del limit  # No signature of RSA in it.
    vault, chance = Vault(bytes(range(32))), _Chance()
    async with temporary_dir() as path:
        server = EmbeddedPostgres(path, EmbeddedSettings(), clock=RealClock(), dies_with_us=True)
        dsn = await server.start()
        try:
            await migrate.upgrade(dsn)
            async with Store(dsn, StoreSettings()) as store:
                accounts = Accounts(store, vault, clock=RealClock(), random_bits=chance.bits)
                access = Access(
                    store,
                    vault,
                    rate_per_minute=0,
                    clock=RealClock(),
                    random_bits=chance.bits,
                    logger=make_logger(LogSettings(level="warning"), "bench"),
                )
                stop_asked = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    group.create_task(run_all([access], stop_asked))
                    for name, headers in (await _forms(access, accounts)).items():
                        yield await _by_cpu(access, name, headers, _CALLS // 20 if is_quick else _CALLS)
                    yield await _signed(access, await _pair(accounts, 0), _SIGNED // 20 if is_quick else _SIGNED)
                    stop_asked.set()
        finally:
            await server.stop()


class _Chance:
    """Bits without a source of chance: nobody attacks a benchmark."""

    def __init__(self) -> None:
        self._count = 0

    def bits(self, count: int) -> int:
        self._count += 1
        return int.from_bytes(hashlib.sha512(b"%d" % self._count).digest()) % (1 << count)


async def _pair(accounts: Accounts, rate: int) -> KeyPair:
    project = await accounts.ensure_project()
    return await accounts.create_key(project.project_id, "bench", KeyTerms(rate_per_minute=rate))


async def _forms(access: Access, accounts: Accounts) -> dict[str, Headers]:
    free, rated = await _pair(accounts, 0), await _pair(accounts, 10_000_000)
    basic = [_authorization(pair) for pair in (free, rated)]
    caller = await access.authenticate(credentials.read([*_OTHERS, basic[1]]))
    token = (b"authorization", b"Bearer " + access.issue_token(caller).token.encode())
    forms = {"basic": basic[0], "basic with a rate": basic[1], "token with a rate": token}
    return {name: [*_OTHERS, header] for name, header in forms.items()}


def _authorization(pair: KeyPair) -> tuple[bytes, bytes]:
    shown = f"{pair.access_key_id}:{pair.access_key_secret}".encode()
    return b"authorization", b"Basic " + base64.b64encode(shown)


async def _by_cpu(access: Access, name: str, headers: Headers, count: int) -> Line:
    taken_s = []
    for _ in range(_TURNS):
        started_s = process_time()
        for _ in range(count // _TURNS):
            access.spend(await access.authenticate(credentials.read(headers, "127.0.0.1")))
        taken_s.append((process_time() - started_s) / (count // _TURNS))
        await asyncio.sleep(0)  # noqa: TID251 - let the counts be written.
    best_s = min(taken_s)
    cpu_us = {"web": round(best_s * 1e6, 2)}
    return Line(name=f"access {name}", n=count, unit="call", rate=round(1 / best_s), cpu_us=cpu_us)


async def _signed(access: Access, pair: KeyPair, count: int) -> Line:
    body = msgspec.json.encode(_BODY)
    signature = body_signature.sign(_BODY, pair.access_key_secret).encode()
    made_at = b"%d" % RealClock().now().timestamp()
    key_id = pair.access_key_id.encode()
    nonces = iter(range(count))

    async def call_until_done() -> None:
        for number in nonces:
            headers = [(b"x-access-key-id", key_id), (b"x-signature", signature), (b"x-timestamp", made_at)]
            shown = credentials.read([*_OTHERS, *headers, (b"x-nonce", b"%d" % number)], "127.0.0.1")
            access.spend(await access.authenticate(credentials.with_body(shown, body)))

    cpu_s, started_s = process_time(), perf_counter()
    await _at_once(call_until_done)
    cpu_us = {"web": round((process_time() - cpu_s) / count * 1e6, 2)}
    elapsed_s = perf_counter() - started_s
    return Line(name="access signed", n=count, unit="call", rate=round(count / elapsed_s), cpu_us=cpu_us)


async def _at_once(work: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
