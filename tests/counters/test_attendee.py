"""Pseudonyms and seat blocks."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.attendee import HIGHEST_BLOCK, PSEUDONYM_BYTES, attendee_selector, block_seats, pseudonym

KEY = bytes(range(32))
texts = st.text(st.characters(codec="utf-8"), max_size=20)


def test_a_pseudonym_is_keyed_blake2b_over_the_length_prefixed_namespace_and_subject() -> None:
    spelled_out = b"\x07\x00tickets" + b"\x06\x00" + "Zoë 1".encode()
    assert pseudonym(KEY, "tickets", "Zoë 1") == hashlib.blake2b(spelled_out, key=KEY, digest_size=16).digest()
    assert pseudonym(KEY, "tickets", "Zoë 1").hex() == "e04255c0c873f000e93509c7b747225f"  # as by openssl mac


@given(texts, texts, texts, texts)
def test_two_people_have_two_pseudonyms_wherever_the_border_between_namespace_and_subject_lies(
    space: str, subject: str, other_space: str, other_subject: str
) -> None:
    one, other = pseudonym(KEY, space, subject), pseudonym(KEY, other_space, other_subject)
    assert (one == other) == ((space, subject) == (other_space, other_subject))
    assert len(one) == PSEUDONYM_BYTES
    assert pseudonym(KEY, space + subject, "") != pseudonym(KEY, "", space + subject) or not space + subject


def test_another_key_gives_other_pseudonyms() -> None:
    assert pseudonym(KEY, "tickets", "1") != pseudonym(bytes(32), "tickets", "1")


def test_the_selector_is_the_lowest_ten_bits_of_the_pseudonym() -> None:
    assert attendee_selector(bytes.fromhex("ff07") + bytes(14)) == 0x3FF
    assert attendee_selector(bytes.fromhex("0104") + bytes(14)) == 1
    assert attendee_selector(bytes.fromhex("0002") + bytes(14)) == 512


def test_blocks_of_seats_follow_each_other_without_seat_0() -> None:
    assert block_seats(0) == range(1, 65_536)
    assert block_seats(1) == range(65_536, 131_072)
    assert block_seats(HIGHEST_BLOCK)[-1] == 2**31 - 1


@pytest.mark.parametrize("block", [-1, HIGHEST_BLOCK + 1])
def test_there_is_no_block_outside_31_bits(block: int) -> None:
    with pytest.raises(ValueError, match="31 bits"):
        block_seats(block)
