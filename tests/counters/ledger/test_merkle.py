"""Merkle trees against the RFC's own recursive definitions, and proofs that must not verify."""

import random
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.ledger.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    range_hash,
    root_from_inclusion,
    subtree_of,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

SMALL = 24
"""Trees of up to this many leaves are tried exhaustively: every shape up to four levels, and the first of a fifth."""
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(1100)]
sizes = st.integers(1, len(LEAVES))


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], b: bool) -> list[bytes]:
    """RFC 6962 §2.1.2, word for word."""
    if m == len(leaves):
        return [] if b else [mth(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], b), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]  # noqa: FBT003 -- the RFC's own signature


def other(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def test_the_empty_tree_a_leaf_and_a_node_hash_as_the_rfc_says() -> None:
    assert tree_root([]) == EMPTY_ROOT == sha256(b"").digest()
    assert leaf_hash(b"data") == sha256(b"\x00data").digest()
    assert node_hash(LEAVES[0], LEAVES[1]) == sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()


def test_roots_of_all_small_trees_are_the_rfcs() -> None:
    for size in range(SMALL + 1):
        assert tree_root(LEAVES[:size]) == mth(LEAVES[:size])
        assert range_hash(0, size, subtree_of(LEAVES[:size])) == mth(LEAVES[:size])


def test_every_inclusion_proof_of_all_small_trees_is_the_rfcs_and_verifies_at_its_own_index_only() -> None:
    for size in range(1, SMALL + 1):
        root = mth(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, subtree_of(LEAVES[:size]))
            assert list(proof) == path(index, LEAVES[:size])
            verify_inclusion(LEAVES[index], index, size, proof, root)
            for elsewhere in set(range(size)) - {index}:
                with pytest.raises(ProofError):
                    verify_inclusion(LEAVES[index], elsewhere, size, proof, root)


def test_every_consistency_proof_of_all_small_trees_is_the_rfcs_and_verifies() -> None:
    for new in range(1, SMALL + 1):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, subtree_of(LEAVES[:new]))
            assert list(proof) == subproof(old, LEAVES[:new], True)  # noqa: FBT003 -- the RFC's own signature
            verify_consistency(old, mth(LEAVES[:old]), new, mth(LEAVES[:new]), proof)


@given(sizes, st.data())
def test_inclusion_proofs_of_larger_trees_are_the_rfcs_and_verify(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, subtree_of(LEAVES))
    assert list(proof) == path(index, LEAVES[:size])
    verify_inclusion(LEAVES[index], index, size, proof, tree_root(LEAVES[:size]))


@given(sizes, st.data())
def test_consistency_proofs_of_larger_trees_are_the_rfcs_and_verify(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, subtree_of(LEAVES))
    assert list(proof) == subproof(old, LEAVES[:new], True)  # noqa: FBT003 -- the RFC's own signature
    verify_consistency(old, tree_root(LEAVES[:old]), new, tree_root(LEAVES[:new]), proof)


@given(sizes, st.data())
def test_an_inclusion_proof_with_anything_changed_proves_nothing(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root = tree_root(LEAVES[:size])
    proof = inclusion_proof(index, size, subtree_of(LEAVES))
    forged: list[tuple[bytes, tuple[bytes, ...], bytes]] = [
        (other(LEAVES[index]), proof, root),
        (LEAVES[index], proof, other(root)),
        (LEAVES[index], (*proof, LEAVES[0]), root),
        (LEAVES[index], (LEAVES[0], *proof), root),
    ]
    forged += [(LEAVES[index], (*proof[:at], *proof[at + 1 :]), root) for at in range(len(proof))]
    forged += [(LEAVES[index], (*proof[:at], other(proof[at]), *proof[at + 1 :]), root) for at in range(len(proof))]
    for leaf, hashes, expected in forged:
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, size, hashes, expected)


@given(st.integers(2, len(LEAVES)), st.data())
def test_a_consistency_proof_with_anything_changed_proves_nothing(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    old_root, new_root = tree_root(LEAVES[:old]), tree_root(LEAVES[:new])
    proof = consistency_proof(old, new, subtree_of(LEAVES))
    forged: list[tuple[bytes, bytes, tuple[bytes, ...]]] = [
        (other(old_root), new_root, proof),
        (old_root, other(new_root), proof),
        (old_root, new_root, (*proof, LEAVES[0])),
        (old_root, new_root, ()),
    ]
    forged += [(old_root, new_root, (*proof[:at], other(proof[at]), *proof[at + 1 :])) for at in range(len(proof))]
    forged += [(old_root, new_root, (*proof[:at], *proof[at + 1 :])) for at in range(len(proof))]
    for first, second, hashes in forged:
        with pytest.raises(ProofError):
            verify_consistency(old, first, new, second, hashes)


def test_trees_of_equal_size_are_consistent_only_if_they_are_the_same() -> None:
    verify_consistency(5, LEAVES[0], 5, LEAVES[0], ())
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    verify_consistency(0, EMPTY_ROOT, 5, LEAVES[0], ())
    for old, old_root, new, new_root, proof in (
        (5, LEAVES[0], 5, LEAVES[1], ()),
        (5, LEAVES[0], 5, LEAVES[0], (LEAVES[2],)),
        (0, LEAVES[0], 5, LEAVES[0], ()),
        (0, EMPTY_ROOT, 5, LEAVES[0], (LEAVES[2],)),
        (0, EMPTY_ROOT, 0, LEAVES[0], ()),
    ):
        with pytest.raises(ProofError):
            verify_consistency(old, old_root, new, new_root, proof)


def test_a_proof_is_refused_for_a_leaf_or_size_that_does_not_exist() -> None:
    subtree = subtree_of(LEAVES)
    for index, size in ((-1, 5), (5, 5), (0, 0), (0, -1), (0, MAX_SIZE + 1)):
        with pytest.raises(ProofError):
            inclusion_proof(index, size, subtree)
        with pytest.raises(ProofError):
            root_from_inclusion(LEAVES[0], index, size, ())
    for old, new in ((-1, 5), (6, 5), (1, MAX_SIZE + 1)):
        with pytest.raises(ProofError):
            consistency_proof(old, new, subtree)
        with pytest.raises(ProofError):
            verify_consistency(old, LEAVES[0], new, LEAVES[0], ())


junk_hashes = st.lists(st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32)), max_size=70)
junk_sizes = st.integers(-2, 2**64) | st.integers(-2, 20)


@given(junk_sizes, junk_sizes, st.binary(max_size=40), st.binary(min_size=32, max_size=32), junk_hashes)
def test_verification_of_junk_ends_in_a_proof_error(
    first: int, second: int, one: bytes, two: bytes, proof: list[bytes]
) -> None:
    if len(proof) == 0:
        proof = [b""]
    with pytest.raises(ProofError):
        verify_inclusion(one, first, second, proof, two)
    with pytest.raises(ProofError):
        verify_consistency(first, one, second, two, proof)


def test_a_proof_from_one_hundred_thousand_leaves_verifies() -> None:
    leaves = [number.to_bytes(32, "big") for number in range(100_000)]
    root = tree_root(leaves)
    index = random.Random(6962).randrange(len(leaves))
    verify_inclusion(leaves[index], index, len(leaves), inclusion_proof(index, len(leaves), subtree_of(leaves)), root)
