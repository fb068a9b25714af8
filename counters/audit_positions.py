"""Which leaves of the roll are opened: positions that follow from the roll and a beacon's value, and from nothing else.

    seed   = SHA-256("turnout roll audit v1" ‖ 0x0A ‖ root of the roll, 32 bytes ‖ size, u64 big-endian ‖
             beacon's name, UTF-8 ‖ 0x00 ‖ round, u64 big-endian ‖ value)
    x_i    = SHA-256(seed ‖ i, u32 big-endian), as a big-endian integer, for i = 0, 1, …
    j_i    = i + ⌊x_i · (size − i) / 2^256⌋

and position i is what stands at j_i after the first i steps of a Fisher–Yates shuffle of 0 … size − 1: take what is at
j_i, put there what is at i. So k different positions, each set of k as likely as any other but for less than 2^−200
(size is under 2^32, and the multiplication is off by at most one part in 2^256 / size); nothing is ever drawn again. If
there are fewer than k leaves, all are opened.

Hand-worked: root 32 times 0x11, size 10, beacon "test", round 7, value 32 times 0x22, k = 4.

    seed  a85ce90af3c2919e1a20cd977d859ff79cd36433eba274fdac6ed6d73935fbfa
    i  x_i begins          x_i / 2^256   j_i                    drawn
    0  6b5106b89cfeed79    0.4192…       0 + ⌊4.19…⌋ = 4        4      (and 0 now stands at 4)
    1  e6157c83ad280ba8    0.8987…       1 + ⌊8.08…⌋ = 9        9      (and 1 now stands at 9)
    2  e657ade057dcddf5    0.8997…       2 + ⌊7.19…⌋ = 9        1      (which stood at 9; now 2 does)
    3  09e5e4914797430f    0.0386…       3 + ⌊0.27…⌋ = 3        3
"""

import hashlib
from typing import Final

from counters.beacon import Round

_MARK: Final = b"turnout roll audit v1\n"


def seed_of(root: bytes, size: int, of: Round, value: bytes) -> bytes:
    """Return the 32 bytes that all positions follow from."""
    named = of.beacon.encode() + b"\0" + of.number.to_bytes(8, "big")
    return hashlib.sha256(_MARK + root + size.to_bytes(8, "big") + named + value).digest()


def positions(seed: bytes, size: int, k: int) -> list[int]:
    """Return the positions of min(k, size) leaves of a roll, in the order in which they are drawn."""
    moved: dict[int, int] = {}
    drawn = []
    for i in range(min(k, size)):
        x = int.from_bytes(hashlib.sha256(seed + i.to_bytes(4, "big")).digest(), "big")
        j = i + (x * (size - i) >> 256)
        drawn.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return drawn
