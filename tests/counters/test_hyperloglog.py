"""The sketches, against a plain reference and against a real Redis."""

import math
import random
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from counters import hyperloglog as hll
from counters.hyperloglog import Registers, SketchError

REDIS_CACHE = slice(8, 16)  # PFCOUNT's cached cardinality

# --- The plain reference: one bit, one register, one sum at a time ----------------------------------------------------


def packed_bit_by_bit(registers: Registers) -> bytes:
    bits = sum(int(rank) << (6 * register) for register, rank in enumerate(registers))
    return bits.to_bytes(hll.PACKED_BYTES, "little")


def unpacked_bit_by_bit(packed: bytes) -> list[int]:
    bits = int.from_bytes(packed, "little")
    return [bits >> (6 * register) & 63 for register in range(hll.REGISTERS)]


def rank_by_loop(element: bytes) -> int:
    rest = hll.murmur64a(element) >> 14
    rank = 1
    while rank <= 50 and not rest & 1:
        rest >>= 1
        rank += 1
    return rank


def murmur_byte_by_byte(element: bytes) -> int:
    m, mask = 0xC6A4A7935BD1E995, 2**64 - 1
    h = 0xADC83B19 ^ (len(element) * m & mask)
    for at in range(0, len(element) - len(element) % 8, 8):
        k = 0
        for offset in range(8):
            k |= element[at + offset] << (8 * offset)
        k = k * m & mask
        k ^= k >> 47
        k = k * m & mask
        h = (h ^ k) * m & mask
    if tail := len(element) % 8:
        for offset in range(tail):
            h ^= element[len(element) - tail + offset] << (8 * offset)
        h = h * m & mask
    h ^= h >> 47
    h = h * m & mask
    return h ^ h >> 47


# --- Strategies and fixtures ------------------------------------------------------------------------------------------


def filled(seed: int, highest: int, share: float) -> Registers:
    """Registers with every rank from 0 to `highest`, a `share` of them not zero."""
    rng = np.random.default_rng(seed)
    ranks = rng.integers(0, highest + 1, hll.REGISTERS).astype(np.uint8)
    return np.where(rng.random(hll.REGISTERS) < share, ranks, np.uint8(0)).astype(np.uint8)


any_registers = st.builds(
    filled, st.integers(0, 2**32 - 1), st.integers(1, hll.MAX_RANK), st.sampled_from([0.0, 0.001, 0.3, 1.0])
)


def met(elements: list[bytes]) -> Registers:
    registers = hll.empty()
    for element in elements:
        hll.add(registers, element)
    return registers


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of a Redis that keeps every HyperLogLog dense."""
    with redis.Redis.from_url(redis_url) as connection:
        before = connection.config_get("hll-sparse-max-bytes")
        connection.config_set("hll-sparse-max-bytes", 0)
        yield connection
        connection.config_set("hll-sparse-max-bytes", before["hll-sparse-max-bytes"])


# --- Elements ---------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_the_hash_and_the_rank_are_those_of_the_plain_reference(element: bytes) -> None:
    assert hll.murmur64a(element) == murmur_byte_by_byte(element)
    assert hll.register_and_rank(element) == (hll.murmur64a(element) & 16383, rank_by_loop(element))


@given(st.binary(max_size=40), st.integers(0, 1023))
def test_a_position_fits_30_bits_and_comes_apart_into_what_went_in(element: bytes, selector: int) -> None:
    packed = hll.position(element, selector)
    register, rank = hll.register_and_rank(element)
    assert packed < 1 << 30
    assert hll.split_position(packed) == hll.Position(register, selector, rank)


@pytest.mark.parametrize("selector", [-1, 1024])
def test_a_selector_of_more_than_ten_bits_is_refused(selector: int) -> None:
    with pytest.raises(ValueError, match="selector"):
        hll.position(b"somebody", selector)


@pytest.mark.parametrize("packed", [0, 52 << 24, 63 << 24, 1 << 30 | 1 << 24, 1 << 31])
def test_a_position_that_no_element_has_is_refused(packed: int) -> None:
    with pytest.raises(SketchError, match="not the position of any element"):
        hll.split_position(packed)


# --- Bytes ------------------------------------------------------------------------------------------------------------


def test_the_worked_examples_of_the_module_hold() -> None:
    registers = hll.empty()
    registers[:4] = 1, 2, 3, 4
    assert hll.pack(registers)[:4] == bytes.fromhex("81 30 10 00")
    sparse = hll.from_redis(b"HYLL" + bytes.fromhex("01 000000 0000000000000080 01 90 7f fc"))
    assert {int(r): int(sparse[r]) for r in np.flatnonzero(sparse)} == {2: 5}


@given(any_registers)
@settings(max_examples=40)
def test_packing_is_that_of_the_plain_reference_and_unpacking_gives_the_registers_back(registers: Registers) -> None:
    packed = hll.pack(registers)
    assert packed == packed_bit_by_bit(registers)
    assert unpacked_bit_by_bit(packed) == registers.tolist()
    assert np.array_equal(hll.unpack(packed), registers)
    assert np.array_equal(hll.from_redis(hll.to_dense(registers)), registers)


@given(st.integers(0, hll.REGISTERS - 1), st.integers(52, 63))
@settings(max_examples=40)
def test_a_rank_over_51_is_refused_wherever_it_comes_from(register: int, rank: int) -> None:
    bad = hll.empty()
    bad[register] = rank
    packed = packed_bit_by_bit(bad)
    for refuse in (lambda: hll.unpack(packed), lambda: hll.from_redis(hll.to_dense(hll.empty())[:16] + packed),
                   lambda: hll.pack(bad), lambda: hll.estimate(bad), lambda: hll.merge([bad])):  # fmt: skip
        with pytest.raises(SketchError, match=f"rank {rank}"):
            refuse()


def test_arrays_of_another_shape_or_kind_are_no_registers() -> None:
    for array in (np.zeros(16383, np.uint8), np.zeros((2, 8192), np.uint8), np.zeros(16384, np.int64)):
        with pytest.raises(SketchError, match="16384 uint8"):
            hll.pack(array)  # type: ignore[arg-type]


CACHE = bytes(8)


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        (b"", "16 bytes"),
        (b"HYLL" + bytes(11), "16 bytes"),
        (b"hyll" + bytes(12300), "'HYLL'"),
        (b"HYLL\x02" + bytes(12299), "encoding 2"),
        (b"HYLL\x00\x00\x01" + bytes(12297), "reserved"),
        (b"HYLL" + bytes(12299), "12288"),
        (b"HYLL" + bytes(12301), "12288"),
        (b"HYLL\x01\0\0\0" + CACHE, "cover 0 registers"),
        (b"HYLL\x01\0\0\0" + CACHE + b"\x7f\xfe", "cover 16383 registers"),
        (b"HYLL\x01\0\0\0" + CACHE + b"\x7f\xff\x00", "more than 16384"),
        (b"HYLL\x01\0\0\0" + CACHE + b"\x7f\xfe\x81", "more than 16384"),
        (b"HYLL\x01\0\0\0" + CACHE + b"\x7f", "inside a run"),
    ],
)
def test_bytes_that_redis_would_not_write_are_refused_with_the_reason(stored: bytes, complaint: str) -> None:
    with pytest.raises(SketchError, match=complaint):
        hll.from_redis(stored)


@given(st.binary(max_size=300), st.sampled_from([b"", b"HYLL\x01\0\0\0" + CACHE, b"HYLL\x01\0\0\0" + CACHE + b"\x7f"]))
def test_decoding_any_bytes_gives_registers_or_a_sketch_error(junk: bytes, head: bytes) -> None:
    try:
        registers = hll.from_redis(head + junk)
    except SketchError:
        return
    assert registers.shape == (hll.REGISTERS,)
    assert int(registers.max()) <= hll.MAX_RANK


# --- Estimates --------------------------------------------------------------------------------------------------------


def test_nobody_is_estimated_as_zero_and_full_registers_as_the_largest_number() -> None:
    assert hll.estimate(hll.empty()) == 0
    assert hll.estimate(np.full(hll.REGISTERS, hll.MAX_RANK, np.uint8)) == 2**63
    almost = np.full(hll.REGISTERS, hll.MAX_RANK, np.uint8)
    almost[0] = 50
    assert hll.estimate(almost) == 2**63


def test_estimates_stay_within_five_standard_errors() -> None:
    rng = random.Random(20231119)
    for people in (10, 1_000, 20_000, 60_000):
        estimate = hll.estimate(met([rng.randbytes(16) for _ in range(people)]))
        assert abs(estimate - people) <= 5 * hll.STANDARD_ERROR * people + 1


@given(st.lists(st.lists(st.binary(max_size=8), max_size=50), max_size=5))
@settings(max_examples=50)
def test_a_merge_is_the_sketch_of_all_elements_in_any_order(groups: list[list[bytes]]) -> None:
    union = hll.merge([met(group) for group in groups])
    assert np.array_equal(union, met([element for group in reversed(groups) for element in group]))


def test_shards_add_up_and_their_error_shrinks_by_the_root_of_their_number() -> None:
    rng = random.Random(4)
    pseudonyms = [rng.randbytes(16) for _ in range(40_000)]
    shards = [hll.empty() for _ in range(4)]
    for pseudonym in pseudonyms:
        at = hll.split_position(hll.position(pseudonym, int.from_bytes(pseudonym[:2], "little") & 1023))
        shard = shards[at.selector % 4]
        shard[at.register] = max(shard[at.register], at.rank)
    estimates = [hll.estimate(shard) for shard in shards]
    error = hll.standard_error(estimates)
    assert hll.estimate_sharded(shards) == sum(estimates)
    assert abs(sum(estimates) - len(pseudonyms)) < 5 * error.absolute
    assert error.relative == pytest.approx(0.008125 / 2, rel=0.01)


def test_the_standard_error_of_one_sketch_is_0_8125_percent_and_of_nothing_zero() -> None:
    assert hll.standard_error([20_000]) == hll.StandardError(162.5, 0.008125)
    assert hll.standard_error([3, 4]).absolute == pytest.approx(0.008125 * 5)
    assert hll.standard_error([0, 0]) == hll.StandardError(0.0, 0.0)
    assert math.isclose(hll.STANDARD_ERROR, 0.008125)


# --- Against Redis itself ---------------------------------------------------------------------------------------------


def stored(client: redis.Redis, key: str) -> bytes:
    return cast("bytes", client.get(key))


def counted(client: redis.Redis, key: str) -> int:
    return cast("int", client.pfcount(key))


@given(elements=st.lists(st.binary(max_size=24), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_redis_holds_the_same_bytes_after_the_same_additions(client: redis.Redis, elements: list[bytes]) -> None:
    client.delete("same-bytes")
    client.pfadd("same-bytes", *elements)
    registers = met(elements)
    theirs, ours = bytearray(stored(client, "same-bytes")), bytearray(hll.to_dense(registers))
    theirs[REDIS_CACHE] = ours[REDIS_CACHE]
    assert theirs == ours
    assert counted(client, "same-bytes") == hll.estimate(registers)


@given(registers=any_registers)
@settings(max_examples=60, deadline=None)
def test_redis_counts_our_bytes_as_we_do(client: redis.Redis, registers: Registers) -> None:
    client.set("our-bytes", hll.to_dense(registers))
    ours = hll.estimate(registers)
    # Beyond 2^53 a double has no room for ±1.
    assert abs(counted(client, "our-bytes") - ours) <= max(1, ours >> 52)
    assert np.array_equal(hll.from_redis(stored(client, "our-bytes")), registers)  # PFCOUNT has rewritten the cache


@pytest.mark.parametrize("people", [0, 1, 100, 5_000, 50_000])
def test_redis_counts_real_crowds_as_we_do_within_one(client: redis.Redis, people: int) -> None:
    rng = random.Random(people)
    elements = [rng.randbytes(16) for _ in range(people)]
    client.delete("crowd")
    client.pfadd("crowd", *elements)
    registers = met(elements)
    assert np.array_equal(hll.from_redis(stored(client, "crowd")), registers)
    assert abs(counted(client, "crowd") - hll.estimate(registers)) <= 1


@given(elements=st.lists(st.binary(max_size=24), max_size=300))
@settings(max_examples=60, deadline=None)
def test_a_sparse_key_of_redis_decodes_to_the_same_registers(client: redis.Redis, elements: list[bytes]) -> None:
    client.delete("sparse")
    client.config_set("hll-sparse-max-bytes", 3000)
    client.pfadd("sparse", *elements)
    client.config_set("hll-sparse-max-bytes", 0)
    sparse = stored(client, "sparse")
    assert sparse[4] == 1
    assert np.array_equal(hll.from_redis(sparse), met(elements))


@given(left=any_registers, right=any_registers)
@settings(max_examples=30, deadline=None)
def test_redis_merges_our_bytes_as_we_do(client: redis.Redis, left: Registers, right: Registers) -> None:
    client.delete("union")
    client.mset({"left": hll.to_dense(left), "right": hll.to_dense(right)})
    client.pfmerge("union", "left", "right")
    assert np.array_equal(hll.from_redis(stored(client, "union")), hll.merge([left, right]))
