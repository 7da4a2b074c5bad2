"""Whether an address is one of this machine's, and which one it would take: the system is asked, and nothing is sent.

A source with an address that the machine does not have would fail at each connection, long after the start; so the
start looks. It says no more than the system does: with `net.ipv4.ip_nonlocal_bind` every address passes, and a fresh
IPv6 address only once the system has made sure that no neighbour has it.
"""

import errno
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from outrider.base.errors import ConfigError

# EAFNOSUPPORT: no IPv6 here. EINVAL: a link-local address without its zone.
_NOT_OURS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.EPROTONOSUPPORT})

_OUT_THERE: Final = ("192.0.2.1", "2001:db8::1")  # RFC 5737, RFC 3849: nobody's.
_DISCARD_PORT: Final = 9


def is_ours(address: str) -> bool:
    """Whether this machine can send from `address`, IPv4 or IPv6. Raises OSError if the system cannot say."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno in _NOT_OURS:
            return False
        raise
    return True


def address_outward(towards: Sequence[str] = _OUT_THERE) -> str:
    """Return the address that the system would send from, IPv4 if it has a way out by that; "" if it has none.

    Nothing is sent: a datagram socket is given an address to talk to, out there, and asked for its own.
    """
    for there in towards:
        try:
            with socket.socket(socket.AF_INET6 if ":" in there else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((there, _DISCARD_PORT))
                return str(probe.getsockname()[0])
        except OSError:
            continue  # No way by this family.
    return ""


def check_ours(addresses: Mapping[str, str]) -> None:
    """Make sure that this machine has all these addresses; they are given by the setting that names each.

    Raises:
        ConfigError: names the setting.
    """
    for setting, address in addresses.items():
        try:
            if is_ours(address):
                continue
        except OSError as error:
            raise ConfigError(f"{setting}: {address} cannot be used: {error.strerror}.") from error
        raise ConfigError(
            f"{setting}: {address} is no address of this machine. Add it to a network interface, or leave the source to"
            " the node that has it."
        )
