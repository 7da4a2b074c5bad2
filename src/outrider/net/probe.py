"""Whether somebody answers at an address: an SMTP server's greeting, our own pages. For `outrider doctor` alone.

Each is one connection within a deadline, which says nothing of ours: SMTP is left with QUIT, HTTP asks `/readyz`. What
strangers answer is cut and made printable. Never raises for what the network does.
"""

import asyncio
import ssl
from typing import Final

from outrider.base.vocab import Phase
from outrider.net import dial
from outrider.wire.answer import Answer, Cause

_LINES_MAX: Final = 20  # Ours: a greeting has one to three.
_LINE_BYTES_MAX: Final = 4096
_SHOWN_CHARS: Final = 160


async def greeting(
    ip: str, port: int, *, wait_s: float, source: str = "", tls: ssl.SSLContext | None = None
) -> str | Answer:
    """Return the first reply of an SMTP server, its lines joined, or why there is none (phase CONNECT or GREETING).

    Args:
        source: our address to come from; "" lets the system choose.
        tls: the port speaks TLS from the first octet (RFC 8314); a handshake that fails has the cause TLS.
    """
    phase = Phase.CONNECT
    try:
        async with asyncio.timeout(wait_s):
            local = (source, 0) if source else None
            reader, writer = await asyncio.open_connection(ip, port, local_addr=local, limit=_LINE_BYTES_MAX, ssl=tls)
            phase = Phase.GREETING
            try:
                return await _read_greeting(reader, writer)
            finally:
                writer.close()
    except ssl.SSLError:  # An OSError too, and one after the connection.
        return Answer(Phase.GREETING, None, Cause.TLS)
    except (OSError, EOFError) as error:  # TimeoutError is an OSError.
        return Answer(phase, None, dial.cause_of(error) if isinstance(error, OSError) else Cause.RESET)
    except ValueError:  # A line without end.
        return Answer(phase, None, Cause.PROTOCOL)


async def http_status(host: str, port: int, path: str, *, wait_s: float) -> int | Answer:
    """Return the status of a GET, or why there is none (phase CONNECT or GREETING)."""
    phase = Phase.CONNECT
    try:
        async with asyncio.timeout(wait_s):
            reader, writer = await asyncio.open_connection(host, port, limit=_LINE_BYTES_MAX)
            phase = Phase.GREETING
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                words = (await reader.readuntil(b"\n")).split()
            finally:
                writer.close()
    except (OSError, EOFError) as error:
        return Answer(phase, None, dial.cause_of(error) if isinstance(error, OSError) else Cause.RESET)
    except asyncio.LimitOverrunError:
        return Answer(phase, None, Cause.PROTOCOL)
    is_http = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit()
    return int(words[1]) if is_http else Answer(phase, None, Cause.PROTOCOL)


async def _read_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | Answer:
    lines: list[str] = []
    while len(lines) < _LINES_MAX:
        line = await reader.readline()
        if not line:
            return Answer(Phase.GREETING, None, Cause.RESET)
        lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
        if line[3:4] != b"-":
            break
    writer.write(b"QUIT\r\n")
    if not lines[0][:3].isdecimal():
        return Answer(Phase.GREETING, None, Cause.PROTOCOL)
    text = " ".join(lines)[:_SHOWN_CHARS]
    return "".join(char if char.isprintable() else "?" for char in text)
