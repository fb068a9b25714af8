"""Merkle trees as in RFC 6962 §2.1: hashes, roots, inclusion and consistency proofs, and their verification.

    leaf  = SHA-256(0x00 ‖ data)
    node  = SHA-256(0x01 ‖ left ‖ right)
    empty = SHA-256("")

A tree of n > 1 leaves splits after the largest power of two below n, so that its left part never changes again when
the tree grows. Worked example, three leaves "a", "b", "c":

    root = node(node(leaf a, leaf b), leaf c)
    inclusion proof of "a" (index 0):  leaf b, leaf c
    inclusion proof of "c" (index 2):  node(leaf a, leaf b)
    consistency proof from 2 to 3:     leaf c

Proofs are made from a `Subtree`, a function that knows the hash of any complete aligned subtree: a list of leaf hashes
gives one (`subtree_of`), and so do tiles on disk, without ever holding all leaves in memory.

Verification follows the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2. It is total: for any input it returns or raises
`ProofError`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
MAX_SIZE: Final = 2**63 - 1
"""Most leaves of a tree: existing clients hold a tree size in a signed 64-bit integer."""

Subtree = Callable[[int, int], bytes]
"""(level, index) → hash of the complete subtree over the leaves index·2^level … (index + 1)·2^level − 1."""


class ProofError(ValueError):
    """A proof that does not prove what it should, or a question to which there is no proof."""


def leaf_hash(data: bytes) -> bytes:
    """Return the 32-byte hash of one entry."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an inner node from the hashes of its two children."""
    return sha256(b"\x01" + left + right).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these hashes, in order; of none, `EMPTY_ROOT`.

    The hashes are leaf hashes, or the hashes of equally large complete subtrees.
    """
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        # Pairing row by row and lifting an odd last hash unchanged gives the RFC's split at the largest power of two.
        lifted = row[-1:] if len(row) % 2 else []
        pairs = zip(row[::2], row[1::2], strict=False)
        row = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + lifted
    return row[0]


def subtree_of(leaf_hashes: Sequence[bytes]) -> Subtree:
    """Return the `Subtree` of a tree whose leaf hashes are all in memory."""

    def subtree(level: int, index: int) -> bytes:
        return tree_root(leaf_hashes[index << level : (index + 1) << level])

    return subtree


def _peaks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the complete subtrees that make up the leaves start … end − 1, from the left."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def range_hash(start: int, end: int, subtree: Subtree) -> bytes:
    """Return the hash of the tree over leaves start … end − 1.

    `start` must be a multiple of the smallest power of two that is not below end − start, as it is for every range
    that the RFC's recursion asks for. The root of a tree of n leaves is `range_hash(0, n, subtree)`.
    """
    hashes = [subtree(level, index) for level, index in _peaks(start, end)]
    if not hashes:
        return EMPTY_ROOT
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root


def prefix_roots(leaf_hashes: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """Return the root that the tree had at each of these sizes, as far as there are leaves: one pass over them."""
    wanted = {size for size in sizes if 0 <= size <= len(leaf_hashes)}
    found = {0: EMPTY_ROOT} if 0 in wanted else {}
    peaks: list[bytes] = []  # roots of the complete subtrees so far, the largest first
    for size, leaf in enumerate(leaf_hashes[: max(wanted, default=0)], start=1):
        peaks.append(leaf)
        for _ in range((size & -size).bit_length() - 1):
            right = peaks.pop()
            peaks.append(node_hash(peaks.pop(), right))
        if size in wanted:
            found[size] = reduce(lambda right, left: node_hash(left, right), reversed(peaks))
    return found


def _split(start: int, end: int) -> int:
    """Return where the tree over leaves start … end − 1 (at least two) splits into left and right."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def inclusion_proof(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the hashes that prove leaf `index` in the tree of the first `size` leaves, leaf's sibling first.

    Raises:
        ProofError: There is no such leaf in a tree of that size.

    Source: RFC 6962 §2.1.1 (PATH).
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    proof = []
    start, end = 0, size
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            proof.append(range_hash(split, end, subtree))
            end = split
        else:
            proof.append(range_hash(start, split, subtree))
            start = split
    return tuple(reversed(proof))


def consistency_proof(old: int, new: int, subtree: Subtree) -> tuple[bytes, ...]:
    """Return the hashes that prove that the tree of `old` leaves is the beginning of the tree of `new` leaves.

    Empty for old = 0 and for old = new, where there is nothing to prove.

    Raises:
        ProofError: The sizes are not 0 ≤ old ≤ new.

    Source: RFC 6962 §2.1.2 (PROOF).
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise ProofError(f"a tree of {old} leaves cannot be the beginning of a tree of {new}")
    if old == 0:
        return ()
    proof = []
    start, end = 0, new
    # The old tree's own root is known to the verifier, and left out, as long as the walk has only gone left.
    old_root_is_known = True
    while end != old:
        split = _split(start, end)
        if old <= split:
            proof.append(range_hash(split, end, subtree))
            end = split
        else:
            proof.append(range_hash(start, split, subtree))
            start = split
            old_root_is_known = False
    if not old_root_is_known:
        proof.append(range_hash(start, end, subtree))
    return tuple(reversed(proof))


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_BYTES:
            raise ProofError(f"a hash has {HASH_BYTES} bytes, this one has {len(value)}")


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that a tree of `size` leaves must have if `proof` places the leaf hash `leaf` at `index`.

    Raises:
        ProofError: The index is not in the tree, or the proof has not the length that index and size dictate.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    _check_hashes(leaf, *proof)
    # Both walk from the leaf to the root: where we are in the row, and where the row's last node is.
    here, last = index, size - 1
    root = leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is longer than the path to the root")
        if here & 1 or here == last:
            root = node_hash(sibling, root)
            while not here & 1 and here:  # an odd last node is lifted through rows in which it has no sibling
                here >>= 1
                last >>= 1
        else:
            root = node_hash(root, sibling)
        here >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the inclusion proof is shorter than the path to the root")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash `leaf` is number `index` of the tree with this size and root.

    Raises:
        ProofError: It is not proven.
    """
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise ProofError(f"the inclusion proof of leaf {index} does not lead to the root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (old, old_root) is the beginning of the tree (new, new_root).

    Raises:
        ProofError: It is not proven.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise ProofError(f"a tree of {old} leaves cannot be the beginning of a tree of {new}")
    _check_hashes(old_root, new_root, *proof)
    for size, root in ((old, old_root), (new, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofError("an empty tree with a root that is not the empty tree's")
    if old in (0, new):
        if proof:
            raise ProofError("a consistency proof where there is nothing to prove")
        if old == new and old_root != new_root:
            raise ProofError(f"two different trees of {old} leaves")
        return
    reached_old, reached_new = _roots_from_consistency(old, old_root, new, proof)
    if reached_old != old_root:
        raise ProofError("the consistency proof does not lead to the old root")
    if reached_new != new_root:
        raise ProofError("the consistency proof does not lead to the new root")


def _roots_from_consistency(old: int, old_root: bytes, new: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the old and the new root that the proof leads to, for 0 < old < new."""
    # A complete old tree is itself a node of the new one, and the proof leaves it out.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise ProofError("the consistency proof is empty")
    here, last = old - 1, new - 1
    while here & 1:
        here >>= 1
        last >>= 1
    reached_old = reached_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof is longer than the path to the root")
        if here & 1 or here == last:
            reached_old = node_hash(sibling, reached_old)
            reached_new = node_hash(sibling, reached_new)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            reached_new = node_hash(reached_new, sibling)
        here >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the consistency proof is shorter than the path to the root")
    return reached_old, reached_new
