"""Checkpoints: three lines and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.ledger.checkpoint import Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint
from counters.ledger.merkle import EMPTY_ROOT, MAX_SIZE
from counters.ledger.note import NoteError, Signer, sign_note

ROOT = bytes(range(32))
ROOT_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_a_checkpoint_is_three_lines() -> None:
    checkpoint = Checkpoint("log.example/event", 20_852_163, ROOT)
    assert checkpoint.encode() == f"log.example/event\n20852163\n{ROOT_TEXT}\n"
    assert Checkpoint.decode(checkpoint.encode()) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"log\n1\n{ROOT_TEXT}",
        f"log\n1\n{ROOT_TEXT}\n\n",
        f"log\n1\n{ROOT_TEXT}\nextension\n",
        f"\n1\n{ROOT_TEXT}\n",
        f"log\n\n{ROOT_TEXT}\n",
        f"log\n01\n{ROOT_TEXT}\n",
        f"log\n+1\n{ROOT_TEXT}\n",
        f"log\n-1\n{ROOT_TEXT}\n",
        f"log\n1_0\n{ROOT_TEXT}\n",
        f"log\n 1\n{ROOT_TEXT}\n",
        f"log\n\u0661\n{ROOT_TEXT}\n",  # a digit, but not an ASCII one
        f"log\n{MAX_SIZE + 1}\n{ROOT_TEXT}\n",
        f"log\n{'9' * 5000}\n{ROOT_TEXT}\n",
        "log\n1\n\n",
        f"log\n1\n{ROOT_TEXT[:-2]}9=\n",  # the same bytes with non-zero spare bits
        f"log\n1\n{ROOT_TEXT[:-1]}\n",
        f"log\n1\n{ROOT_TEXT} \n",
        "log\n1\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n",  # 31 bytes
        f"log\n0\n{ROOT_TEXT}\n",  # the empty tree has one root
    ],
)
def test_anything_but_the_three_lines_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.decode(text)


def test_the_log_signs_only_for_its_own_origin(signer: Signer) -> None:
    checkpoint = Checkpoint("elsewhere.example", 0, EMPTY_ROOT)
    with pytest.raises(CheckpointError):
        sign_checkpoint(checkpoint, signer)
    with pytest.raises(CheckpointError, match="elsewhere"):
        open_checkpoint(sign_note(checkpoint.encode(), [signer]), signer.verifier)


def test_a_signed_text_that_is_no_checkpoint_is_refused(signer: Signer) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(sign_note("hello\n", [signer]), signer.verifier)


def test_a_checkpoint_signed_by_another_key_of_the_same_name_is_refused(signer: Signer) -> None:
    note = sign_checkpoint(Checkpoint(signer.name, 0, EMPTY_ROOT), signer)
    assert open_checkpoint(note, signer.verifier).size == 0
    with pytest.raises(NoteError):
        open_checkpoint(note, Signer.generate(signer.name).verifier)


@given(
    st.text(st.characters(exclude_characters="\n"), min_size=1, max_size=50),
    st.integers(1, MAX_SIZE),
    st.binary(min_size=32, max_size=32),
)
def test_every_checkpoint_comes_back_from_its_text(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)
    assert Checkpoint.decode(checkpoint.encode()) == checkpoint


@given(st.text(max_size=200))
def test_junk_ends_in_a_checkpoint_error_or_is_canonical(text: str) -> None:
    try:
        checkpoint = Checkpoint.decode(text)
    except CheckpointError:
        return
    assert checkpoint.encode() == text
