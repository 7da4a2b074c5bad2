"""Whether an address is one of this machine's: the system is asked to bind a socket to it, and nothing is sent.

A source with an address that the machine does not have would fail at each connection, long after the start; so the
start looks. It says no more than the system does: with `net.ipv4.ip_nonlocal_bind` every address passes, and a fresh
IPv6 address only once the system has made sure that no neighbour has it.
"""

import errno
import socket
from collections.abc import Mapping
from typing import Final

from outrider.base.errors import ConfigError

# EAFNOSUPPORT: no IPv6 here. EINVAL: a link-local address without its zone.
_NOT_OURS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.EPROTONOSUPPORT})


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
