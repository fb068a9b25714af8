"""Lists of networks, and which of them an address is in: the most specific one that holds it (longest prefix).

File: UTF-8 text, a network a line, in any order; blank lines and what follows `#` are passed over.

    192.0.2.0/24                    a data-centre network: the class is `datacentre` where none is given
    192.0.2.128/25   university     a part of it that is none; a class is a-z, 0-9 and -, at most 32 characters
    2001:db8::/32    datacentre

A network without `/…` is one address. Host bits must be zero, and a network stands once. An IPv4 address that came in
IPv6 clothes (::ffff:192.0.2.1) is that IPv4 address.

Looking up is one binary search: nested networks are laid out beforehand as ranges that do not overlap. A hundred
thousand networks are some ten megabytes a worker and are read in half a second.
"""

import re
import socket
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DATACENTRE: Final = "datacentre"
_CLASS: Final = re.compile(r"[a-z0-9-]{1,32}")
_MAPPED: Final = bytes(10) + b"\xff\xff"
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


class NetworksError(ValueError):
    """The list cannot be used; says where and why."""


def packed_address(text: str) -> bytes:
    """Return the 4 or 16 bytes of an address, in IPv4 where it is one; nothing for what is none."""
    text = text.partition("%")[0]  # RFC 4007 §11
    for family in _FAMILIES:
        try:
            packed = socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return packed[12:] if packed.startswith(_MAPPED) and len(packed) == 16 else packed
    return b""


@dataclass(frozen=True, slots=True)
class _Network:
    first: int
    last: int
    name: str  # its class


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Ranges of one family that do not overlap: each from its start to the next one's."""

    starts: Sequence[int]
    names: Sequence[str]  # "" = in no network

    @classmethod
    def of(cls, networks: Iterable[_Network]) -> "_Ranges":
        """Lay networks out, of which any two are apart or one within the other."""
        starts, names = [0], [""]
        around: list[_Network] = []

        def begin(at: int, name: str) -> None:
            if starts[-1] == at:
                names[-1] = name
            else:
                starts.append(at)
                names.append(name)

        def leave(until: int | None) -> None:
            while around and (until is None or around[-1].last < until):
                left = around.pop()
                begin(left.last + 1, around[-1].name if around else "")

        for network in sorted(networks, key=lambda network: (network.first, -network.last)):
            leave(network.first)
            begin(network.first, network.name)
            around.append(network)
        leave(None)
        return cls(starts, names)

    def name_at(self, address: int) -> str:
        return self.names[bisect_right(self.starts, address) - 1]


class Networks:
    """A list of networks. It never changes."""

    def __init__(self, networks: Iterable[tuple[str, str]] = ()) -> None:
        """Take networks and their classes.

        Raises:
            NetworksError: one is no network, or stands twice.
        """
        parsed: dict[tuple[int, int, int], _Network] = {}
        for text, name in networks:
            width, network = _parse(text, name)
            if (place := (width, network.first, network.last)) in parsed:
                raise NetworksError(f"{text} stands twice")
            parsed[place] = network
        self._by_width = {
            width: _Ranges.of(network for (its, _, _), network in parsed.items() if its == width) for width in (4, 16)
        }
        self._count = len(parsed)

    def __len__(self) -> int:
        """How many networks there are."""
        return self._count

    def class_of(self, packed: bytes) -> str:
        """Return the class of the network that an address (`packed_address`) is in; "" if it is in none."""
        ranges = self._by_width.get(len(packed))
        return ranges.name_at(int.from_bytes(packed)) if ranges is not None else ""


def read_networks(path: Path) -> Networks:
    """Read a list of networks.

    Raises:
        NetworksError: it is malformed; names the line.
        OSError: it cannot be read.
    """
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        network, name = words[0], words[1] if len(words) > 1 else DATACENTRE
        try:
            if len(words) > 2 or not _CLASS.fullmatch(name):
                raise NetworksError("a line is a network and at most one class, of a-z, 0-9 and -")  # noqa: TRY301
            _parse(network, name)
        except NetworksError as error:
            raise NetworksError(f"{path}, line {number}: {error}") from None
        rows.append((network, name))
    try:
        return Networks(rows)
    except NetworksError as error:
        raise NetworksError(f"{path}: {error}") from None


def _parse(text: str, name: str) -> tuple[int, _Network]:
    """Return how many bytes its addresses have, and the network."""
    address, slash, digits = text.partition("/")
    packed = packed_address(address)
    bits = len(packed) * 8
    length = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 3 else -1
    if not slash:
        length = bits
    if not packed or not 0 <= length <= bits:
        raise NetworksError(f"{text!r} is no network, as in 192.0.2.0/24 or 2001:db8::/32")
    first, size = int.from_bytes(packed), 1 << (bits - length)
    if first % size:
        raise NetworksError(f"{text!r} has host bits: is {address} alone meant, or the whole network?")
    return len(packed), _Network(first, first + size - 1, name)
