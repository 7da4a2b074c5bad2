"""Where mail for a domain goes: a `Site`, the hosts behind one set of MX records, or a smart host; and whence: a `Way`.

Made by `net.dns` or from the settings, used by `net.pool`. Domains that share their mail hosts share a site and so its
connections.
"""

import msgspec

from outrider.wire.smtp_client import Credentials, TlsMode


class Host(msgspec.Struct, frozen=True):
    """One mail host."""

    name: str  # For TLS and people; the address itself if it has no name.
    addresses: tuple[str, ...]  # IPv4 and IPv6 addresses in the order to try.


class Site(msgspec.Struct, frozen=True):
    """The hosts that take mail for a domain, and how to talk to them."""

    name: str  # A stable key: the sorted MX names joined, or the smart host.
    hosts: tuple[Host, ...]  # In the order to try.
    port: int = 25
    tls: TlsMode = TlsMode.OPPORTUNISTIC
    credentials: Credentials | None = None  # Only for smart hosts.
    provider: str = ""  # By whose limits it is counted, where its MX names do not say: a smart host, catch mode.
    mx_names: tuple[str, ...] = ()  # Of all MX hosts, also of those without an address now; (): as `hosts`.
    is_simulated: bool = False  # The simulator on this machine (`net.simulated`).


class Way(msgspec.Struct, frozen=True):
    """Where mail comes from."""

    source: str  # The source's name.
    address: str = ""  # Its address, IPv4 or IPv6; "": that of the settings, or the system chooses.
    ehlo_name: str = ""  # What it calls itself; "": as the settings say.
