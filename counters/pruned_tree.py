"""Many leaves of one Merkle tree proven at once: the tree with everything cut away that no proven leaf needs.

The proof is a list of hashes: those of the largest subtrees without a proven leaf, from the left, a tree of n leaves
being split as RFC 6962 splits it. Together with the leaves they give the root, and there is one way to do it:

    walk(start, end):  no proven leaf within → the next hash of the list
                       end − start = 1       → the leaf hash
                       else                  → node(walk(start, split), walk(split, end))

Worked example: leaves 0 and 1 of a tree of 5. walk(0, 5) splits at 4; walk(0, 4) at 2; walk(0, 2) at 1, which gives the
two leaves; walk(2, 4) takes the first hash, that of leaves 2 and 3; walk(4, 5) the second, that of leaf 4.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from counters.ledger.merkle import EMPTY_ROOT, ProofError, Subtree, leaf_hash, node_hash, range_hash


def split(start: int, end: int) -> int:
    """Return where RFC 6962 splits the tree over the leaves start … end − 1, of which there are at least two."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def prune(size: int, positions: Sequence[int], subtree: Subtree) -> list[bytes]:
    """Return the hashes that prove the leaves at these positions (ascending, each once) in a tree of `size` leaves."""
    found: list[bytes] = []

    def walk(start: int, end: int, low: int, high: int) -> None:
        if low == high:
            found.append(range_hash(start, end, subtree))
        elif end - start > 1:
            middle = split(start, end)
            cut = bisect_left(positions, middle, low, high)
            walk(start, middle, low, cut)
            walk(middle, end, cut, high)

    if size:
        walk(0, size, 0, len(positions))
    return found


def root_of(size: int, leaves: Mapping[int, bytes], hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree in which these leaves, by position, and these hashes stand.

    Raises:
        ProofError: a position is not in such a tree, or there are more or fewer hashes than it takes.
    """
    positions = sorted(leaves)
    if positions and not 0 <= positions[0] <= positions[-1] < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {positions[-1]}")
    left = list(reversed(hashes))

    def walk(start: int, end: int, low: int, high: int) -> bytes:
        if low == high:
            if not left:
                raise ProofError("there are fewer hashes than the leaves need")
            return left.pop()
        if end - start == 1:
            return leaf_hash(leaves[start])
        middle = split(start, end)
        cut = bisect_left(positions, middle, low, high)
        return node_hash(walk(start, middle, low, cut), walk(middle, end, cut, high))

    root = walk(0, size, 0, len(positions)) if size else EMPTY_ROOT
    if left:
        raise ProofError("there are more hashes than the leaves need")
    return root
