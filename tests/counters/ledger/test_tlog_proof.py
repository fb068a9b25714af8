"""The offline envelope: its text, its round trip, and every change noticed."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.ledger.checkpoint import Checkpoint, sign_checkpoint
from counters.ledger.merkle import ProofError, inclusion_proof, leaf_hash, subtree_of, tree_root
from counters.ledger.note import Signer, encode_base64
from counters.ledger.proof import PROOF_LIMIT_HASHES, TlogProof

ENTRIES = [b"entry %d" % number for number in range(11)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
SIGNER = Signer("log.example/event", bytes(range(32)))
NOTE = sign_checkpoint(Checkpoint(SIGNER.name, len(LEAVES), tree_root(LEAVES)), SIGNER)


def proof_of(index: int, extra: bytes | None = None) -> TlogProof:
    return TlogProof(index, inclusion_proof(index, len(LEAVES), subtree_of(LEAVES)), NOTE, extra)


def test_the_text_is_that_of_the_specification() -> None:
    signer = Signer("example.com/log/testdata", bytes(32))
    one, two = leaf_hash(b"one"), leaf_hash(b"two")
    note = sign_checkpoint(Checkpoint(signer.name, 2, sha256(b"\x01" + one + two).digest()), signer)
    proof = TlogProof(0, (two,), note, b"extra data")
    assert proof.encode() == (
        b"c2sp.org/tlog-proof@v1\nextra ZXh0cmEgZGF0YQ==\nindex 0\n" + encode_base64(two).encode() + b"\n\n" + note
    )
    assert TlogProof.decode(proof.encode()).verify(b"one", signer.verifier).size == 2


def test_every_entry_is_proven_by_its_own_proof_only() -> None:
    for index in range(len(ENTRIES)):
        proof = TlogProof.decode(proof_of(index).encode())
        assert proof == proof_of(index)
        for number, entry in enumerate(ENTRIES):
            if number == index:
                assert proof.verify(entry, SIGNER.verifier).root == tree_root(LEAVES)
            else:
                with pytest.raises(ProofError):
                    proof.verify(entry, SIGNER.verifier)


def test_a_log_of_one_entry_is_proven_without_hashes() -> None:
    note = sign_checkpoint(Checkpoint(SIGNER.name, 1, LEAVES[0]), SIGNER)
    proof = TlogProof.decode(TlogProof(0, (), note).encode())
    assert proof.verify(ENTRIES[0], SIGNER.verifier).size == 1


def test_a_checkpoint_of_another_key_proves_nothing() -> None:
    with pytest.raises(ProofError, match="checkpoint"):
        proof_of(3).verify(ENTRIES[3], Signer(SIGNER.name, bytes(32)).verifier)


def test_every_flipped_bit_of_a_proof_is_noticed() -> None:
    data = proof_of(3).encode()
    for position in range(len(data)):
        for bit in range(8):
            forged = bytearray(data)
            forged[position] ^= 1 << bit
            with pytest.raises(ProofError):
                TlogProof.decode(bytes(forged)).verify(ENTRIES[3], SIGNER.verifier)


HEAD, HASH = "c2sp.org/tlog-proof@v1\n", encode_base64(LEAVES[0]) + "\n"


@pytest.mark.parametrize(
    "head",
    [
        "",
        "\n",
        HEAD,
        HEAD + HASH,
        "c2sp.org/tlog-proof@v2\nindex 3\n",
        HEAD + "index\n",
        HEAD + "index \n",
        HEAD + "index 03\n",
        HEAD + "index -3\n",
        HEAD + "index 3 \n",
        HEAD + "index \u0663\n",
        HEAD + f"index {2**63}\n",
        HEAD + f"index {'9' * 5000}\n",
        HEAD + "extra\nindex 3\n",
        HEAD + "extra \nindex 3\n",
        HEAD + "extra AA\nindex 3\n",
        HEAD + "extra AAAA\nextra AAAA\nindex 3\n",
        HEAD + "index 3\nextra AAAA\n",
        HEAD + "index 3\r\n",
        HEAD + "index 3\nAAAA\n",
        HEAD + "index 3\n" + HASH * (PROOF_LIMIT_HASHES + 1),
    ],
)
def test_a_malformed_head_is_refused(head: str) -> None:
    with pytest.raises(ProofError):
        TlogProof.decode(head.encode() + b"\n" + NOTE)


def test_values_that_no_proof_can_have_are_refused() -> None:
    with pytest.raises(ProofError):
        TlogProof(-1, (), NOTE)
    with pytest.raises(ProofError):
        TlogProof(0, (b"short",), NOTE)
    with pytest.raises(ProofError):
        TlogProof(0, (LEAVES[0],) * (PROOF_LIMIT_HASHES + 1), NOTE)
    with pytest.raises(ProofError):
        TlogProof(0, (), NOTE, b"")


@given(
    st.integers(0, 2**63 - 2),
    st.lists(st.binary(min_size=32, max_size=32), max_size=PROOF_LIMIT_HASHES),
    st.binary(max_size=200),
    st.none() | st.binary(min_size=1, max_size=100),
)
def test_every_proof_comes_back_from_its_text(
    index: int, hashes: list[bytes], note: bytes, extra: bytes | None
) -> None:
    proof = TlogProof(index, tuple(hashes), note, extra)
    assert TlogProof.decode(proof.encode()) == proof


@given(st.binary(max_size=100), st.integers(0, 400), st.integers(0, 400))
def test_junk_ends_in_a_proof_error_or_is_the_canonical_text(junk: bytes, start: int, end: int) -> None:
    good = proof_of(5, b"extra").encode()
    data = good[:start] + junk + good[end:]
    try:
        proof = TlogProof.decode(data)
    except ProofError:
        return
    assert proof.encode() == data
