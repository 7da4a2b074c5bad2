"""An SPF evaluator that we did not write, `pyspf` of Debian's python3-spf, over a zone in memory.

It runs under the system's own Python, as a process that reads a zone and a question a line, and writes what it
concludes. The file is both sides: imported it is the client, run it is the server.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

PYTHON: Final = "/usr/bin/python3"
MISSING: Final = "no SPF oracle: apt-get install -y python3-spf"

# Name to type to records: {"a.example": {"TXT": ["v=spf1 -all"], "MX": ["10 b.example"]}}.
Zone = Mapping[str, Mapping[str, Sequence[str]]]


def is_installed() -> bool:
    """Tell whether the system's Python has it."""
    if not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", "import spf"], capture_output=True, check=False).returncode == 0


class Oracle:
    """The process."""

    def __init__(self) -> None:
        self._child: Final = subprocess.Popen([PYTHON, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def check(self, zone: Zone, ip: str, domain: str, sender: str = "") -> tuple[str, int]:
        """Return its result and how many look-ups it counted."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        line = json.dumps([zone, ip, domain, sender or f"postmaster@{domain}"])
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()
        result, count = json.loads(self._child.stdout.readline())
        return result, count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(10)
        if self._child.stdout is not None:
            self._child.stdout.close()


def _serve() -> None:
    import spf  # type: ignore[import-not-found]

    zone: Any = {}

    def look(name: str, kind: str, tcpfallback: bool = True, timeout: int = 30) -> list[Any]:
        records = zone.get(name.lower().rstrip("."), {}).get(kind, [])
        key = (name, kind)
        if kind == "TXT":
            return [(key, [text.encode()]) for text in records]
        if kind == "MX":
            return [(key, (int(text.split()[0]), text.split()[1])) for text in records]
        return [(key, text) for text in records]

    spf.DNSLookup = look
    for line in sys.stdin:
        zone, ip, domain, sender = json.loads(line)
        query = spf.query(i=ip, s=sender, h=domain, querytime=20)
        result = query.check()[0]
        print(json.dumps([result, query.lookups]), flush=True)


if __name__ == "__main__":
    _serve()
