"""A small file in MaxMind's format, as a vendor would write it: `written({"192.0.2.0/24": "DE"})`.

Format: a binary tree over the bits of an address (24 bits a side, IPv4 below ::/96), sixteen zero octets, the records,
then the description behind its marker. Source: https://maxmind.github.io/MaxMind-DB/, version 2.0.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

_MARKER: Final = b"\xab\xcd\xefMaxMind.com"
_GAP_BYTES: Final = 16
_SIDE_BYTES: Final = 3
_SMALL_MAX: Final = 28  # Sizes up to it stand in the control octet, beyond it in the next one.
_UTF8, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11


def written(countries: Mapping[str, str | object], *, built_at_s: int = 1_790_000_000) -> bytes:
    """Return the file; a country is its two letters, or a whole record as another vendor has it."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for text, country in countries.items():
        record = {"country": {"iso_code": country}} if isinstance(country, str) else country
        _put(nodes, ipaddress.ip_network(text), _encoded(record))
    records: dict[bytes, int] = {}
    for node in nodes:
        for side in node:
            if isinstance(side, bytes) and side not in records:
                records[side] = sum(map(len, records))
    tree = bytearray()
    for node in nodes:
        for side in node:
            number = len(nodes) if side is None else side
            if isinstance(number, bytes):
                number = len(nodes) + _GAP_BYTES + records[number]
            tree += number.to_bytes(_SIDE_BYTES, "big")
    about = {
        "binary_format_major_version": (_UINT16, 2),
        "binary_format_minor_version": (_UINT16, 0),
        "build_epoch": (_UINT64, built_at_s),
        "database_type": "Test-Country",
        "description": {"en": "Made for a test."},
        "ip_version": (_UINT16, 6),
        "languages": ["en"],
        "node_count": (_UINT32, len(nodes)),
        "record_size": (_UINT16, _SIDE_BYTES * 8),
    }
    return bytes(tree) + bytes(_GAP_BYTES) + b"".join(records) + _MARKER + _encoded(about)


def _put(
    nodes: list[list[int | bytes | None]], network: ipaddress.IPv4Network | ipaddress.IPv6Network, record: bytes
) -> None:
    below = 96 if network.version == 4 else 0  # IPv4 is ::/96.
    number, length = int(network.network_address), below + network.prefixlen
    at = 0
    for depth in range(length):
        side = number >> (127 - depth) & 1
        if depth == length - 1:
            nodes[at][side] = record
            return
        onward = nodes[at][side]
        if not isinstance(onward, int):
            nodes.append([onward, onward])
            onward = nodes[at][side] = len(nodes) - 1
        at = onward


def _encoded(value: object) -> bytes:
    match value:
        case str():
            octets = value.encode()
            return _control(_UTF8, len(octets)) + octets
        case (int(kind), int(number)):
            octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
            return _control(kind, len(octets)) + octets
        case Mapping():
            return _control(_MAP, len(value)) + b"".join(_encoded(k) + _encoded(v) for k, v in value.items())
        case list():
            return _control(_ARRAY, len(value)) + b"".join(map(_encoded, value))
        case _:
            raise AssertionError(f"no such value: {value!r}")


def _control(kind: int, size: int) -> bytes:
    """Return what stands before a value. Kinds over 7 have an octet of their own."""
    extended = kind > _MAP
    head = (0 if extended else kind << 5) | min(size, _SMALL_MAX + 1)
    octets = bytes([head, kind - _MAP]) if extended else bytes([head])
    return octets + bytes([size - _SMALL_MAX - 1]) if size > _SMALL_MAX else octets
