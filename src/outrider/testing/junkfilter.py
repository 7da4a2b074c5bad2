"""A real rspamd on loopback, started by a test: Debian's program with rules and scores of its own, and no network.

    async with RunningRspamd.start(folder) as filter:
        ...                                     # ask it at filter.url
        await filter.kill()

One worker; no maps, no redis, no name server; so what it says depends on the message alone. GTUBE is the text that
every filter refuses.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

from outrider.net.rspamd import RspamdClient
from outrider.testing.clock import RealClock
from outrider.testing.program import free_ports

GTUBE: Final = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
JUNK_FIELD: Final = "X-Junk"  # A message in whose header it says "yes" has `JUNK_SCORE` more.
JUNK_SCORE: Final = 7.0  # Between its thresholds: "add header".
PROGRAM: Final = "rspamd"
_HOST: Final = "127.0.0.1"
_START_S: Final = 30.0  # Ours: it compiles its rules; a second on a quiet machine.
_STOP_S: Final = 5.0
_POLL_S: Final = 0.05
# A list of suffixes of three names, since the whole one takes some seconds to compile.
_SUFFIXES: Final = "com\nexample\ninvalid\n"
_SETTINGS: Final = """\
options {{
  filters = "regexp";
  url_tld = "{folder}/suffixes";
  tempdir = "{folder}";
  hs_cache_dir = "{folder}";
  cores_dir = "{folder}";
  pidfile = "{folder}/rspamd.pid";
  control_socket = "{folder}/control.sock mode=0600";
  dns {{ nameserver = ["127.0.0.1:9:1"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "info"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
worker "normal" {{ bind_socket = "{host}:{port}"; count = 1; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
group "test" {{ symbols {{ "HEADER_SAYS" {{ score = {score}; description = "A field of the header asks for it"; }} }} }}
regexp {{ "HEADER_SAYS" = "{field}=/yes/H"; }}
"""


class RunningRspamd:
    """A live rspamd. Made by `start`."""

    def __init__(self, child: asyncio.subprocess.Process, port: int) -> None:
        self._child: Final = child
        self.url: Final = f"http://{_HOST}:{port}"

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, folder: Path) -> AsyncIterator[Self]:
        """Start it, wait until it answers, and kill it at the end of the block. Its files are in `folder`."""
        (port,) = free_ports(1)
        (folder / "suffixes").write_text(_SUFFIXES, "utf-8")
        settings = folder / "rspamd.conf"
        text = _SETTINGS.format(folder=folder, host=_HOST, port=port, field=JUNK_FIELD, score=JUNK_SCORE)
        settings.write_text(text, "utf-8")
        # A session of its own: its children are killed with it.
        child = await asyncio.create_subprocess_exec(
            PROGRAM, "-f", "-i", "-c", str(settings), start_new_session=True, stdout=asyncio.subprocess.DEVNULL
        )
        running = cls(child, port)
        try:
            await running._until_ready()
            yield running
        finally:
            await running.kill()

    async def kill(self) -> None:
        """Kill it and its workers, as if the machine had lost it. Safe twice."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        async with asyncio.timeout(_STOP_S):
            await self._child.wait()

    async def _until_ready(self) -> None:
        clock = RealClock()
        client = RspamdClient(self.url, wait_s=1.0, at_once=1, clock=clock)
        try:
            async with asyncio.timeout(_START_S):
                while await client.ping() is not None:
                    assert self._child.returncode is None, "rspamd has ended; rspamd.log says why"
                    await clock.sleep(_POLL_S)
        finally:
            await client.close()
