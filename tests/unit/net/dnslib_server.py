"""An authoritative name server that we did not write, `dnslib`, over the zones of `outrider.testing.dns`.

It answers as an authoritative server does: of a CNAME it tells the target and leaves it to the asker to follow.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import dnslib
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from outrider.mail import txt
from outrider.testing.dns import Fault, Zone, find

_TTL_S: Final = 60
_BIND_TRIES: Final = 20
_DATA: Final[dict[str, Any]] = {
    "A": dnslib.A,
    "AAAA": dnslib.AAAA,
    "CNAME": dnslib.CNAME,
    "PTR": dnslib.PTR,
    "MX": lambda text: dnslib.MX(text.split()[1], int(text.split()[0])),
}


class _Resolver(BaseResolver):
    def __init__(self) -> None:
        self.zone: Zone = {}

    def resolve(self, request: Any, handler: DNSHandler) -> Any:
        name = str(request.q.qname).lower().removesuffix(".")
        kind = dnslib.QTYPE[request.q.qtype]
        reply = request.reply()
        node = find(self.zone, name)
        fault = node.fault_at(kind) if node is not None else None
        if fault is Fault.SILENT:
            raise dnslib.DNSError("silent")  # The handler says nothing then.
        if fault is Fault.SERVFAIL:
            reply.header.rcode = dnslib.RCODE.SERVFAIL
        elif node is None and not any(other.endswith(f".{name}") for other in self.zone):
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        elif node is not None and node.cname:
            self._add(reply, "CNAME", node.cname)
        elif node is not None and kind == "TXT":
            for text in node.txt:
                reply.add_answer(self._record(reply, kind, dnslib.TXT(list(map(str.encode, txt.strings(text))))))
        elif node is not None:
            for text in node.texts(kind):
                self._add(reply, kind, text)
        return reply

    def _add(self, reply: Any, kind: str, text: str) -> None:
        reply.add_answer(self._record(reply, kind, _DATA[kind](text)))

    def _record(self, reply: Any, kind: str, content: Any) -> Any:
        return dnslib.RR(reply.q.qname, getattr(dnslib.QTYPE, kind), ttl=_TTL_S, rdata=content)


class ForeignServer:
    """The server, in threads until `stop`. `zone` may be changed at any time."""

    def __init__(self) -> None:
        self._resolver: Final = _Resolver()
        logger = DNSLogger("-request,-reply,-truncated,-error")
        for _ in range(_BIND_TRIES):
            udp = DNSServer(self._resolver, port=0, address="127.0.0.1", logger=logger)
            self.port: int = udp.server.server_address[1]
            try:
                tcp = DNSServer(self._resolver, port=self.port, address="127.0.0.1", tcp=True, logger=logger)
            except OSError:  # Somebody has that port for TCP.
                udp.server.server_close()
                continue
            break
        self._servers: Final = (udp, tcp)
        for server in self._servers:
            server.start_thread()

    @contextlib.contextmanager
    def serving(self, zone: Zone) -> Iterator[str]:
        """Serve this zone; give the address, "127.0.0.1:PORT"."""
        self._resolver.zone = zone
        yield f"127.0.0.1:{self.port}"
        self._resolver.zone = {}

    def stop(self) -> None:
        """Stop and wait for the threads."""
        for server in self._servers:
            server.stop()
            server.server.server_close()
            server.thread.join(5)
