"""The journal: records as written, up to the torn tail of a write that was never answered."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.journal import (
    TEXT_LIMIT_BYTES,
    Assurance,
    Direction,
    Join,
    JoinKind,
    Scan,
    accepted_scans,
    decode,
    encode,
    encode_token,
    tokens,
)
from tests.counters.worker_at_hand import a_join, a_scan

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
number, label = st.integers(0, 65_535), st.text(st.characters(codec="utf-8"), max_size=60)
joins = st.builds(
    Join, u32, number, st.sampled_from(JoinKind), st.sampled_from(Assurance), u32, u64, u64,
    st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.binary(min_size=8, max_size=8),
    label, label, label, label, label, label, label,
)  # fmt: skip
scans = st.builds(
    Scan, u32, number, st.sampled_from(Direction), st.booleans(), u64, u64, label, label, label
)  # fmt: skip


@given(st.lists(joins | scans, max_size=6))
def test_a_journal_is_read_as_it_was_written(records: list[Join | Scan]) -> None:
    assert list(decode(b"".join(map(encode, records)))) == records


@given(st.lists(joins | scans, min_size=1, max_size=4), st.data())
def test_of_a_journal_cut_anywhere_every_whole_record_is_read(records: list[Join | Scan], data: st.DataObject) -> None:
    written = [encode(record) for record in records]
    cut = data.draw(st.integers(0, sum(map(len, written))))
    whole, end = 0, 0
    while whole < len(written) and end + len(written[whole]) <= cut:
        end += len(written[whole])
        whole += 1
    assert list(decode(b"".join(written)[:cut])) == records[:whole]


@given(st.binary(max_size=60) | joins.map(encode), st.integers(0, 2**16), st.integers(1, 255))
def test_no_bytes_make_the_reader_fail_and_no_changed_record_is_read(raw: bytes, at: int, change: int) -> None:
    damaged = bytearray(raw)
    if damaged:
        damaged[at % len(damaged)] ^= change
    assert list(decode(bytes(damaged))) == []
    assert list(decode(bytes(damaged) + bytes(40))) == []


@pytest.mark.parametrize(
    ("kind", "body"), [(3, bytes(40)), (1, bytes(10)), (1, bytes(80)), (2, bytes(24)), (2, bytes(24) + b"\x09ab")]
)
def test_a_record_with_a_right_checksum_that_is_no_join_or_scan_ends_the_journal(kind: int, body: bytes) -> None:
    checked = struct.pack("<HBB", 4 + len(body) + 4, kind, 1) + body
    good = encode(a_scan())
    assert list(decode(good + checked + struct.pack("<I", zlib.crc32(checked)) + good)) == [a_scan()]


@given(st.integers(0, 4), st.sampled_from(("x", "é", "世", "🎫")))
def test_a_long_text_is_cut_at_a_character(shift: int, character: str) -> None:
    text = "y" * shift + character * 300
    (record,) = decode(encode(a_scan(gate=text)))
    assert isinstance(record, Scan)
    assert text.startswith(record.gate)
    assert TEXT_LIMIT_BYTES - 4 < len(record.gate.encode()) <= TEXT_LIMIT_BYTES
    assert record.nonce == "n1"


def test_a_scan_is_laid_out_as_the_table_says() -> None:
    scan = a_scan(seat=70_000, session=3, forced=True, scanned_at_ms=1, received_at_ms=2, gate="a", nonce="é")
    expected = "26000201701101000300010101000000000000000200000000000000016102c3a900"
    assert encode(scan)[:-4].hex() == expected
    assert encode(scan)[-4:] == struct.pack("<I", zlib.crc32(bytes.fromhex(expected)))
    assert len(encode(a_join())) == 4 + 84 + 7 + len("ticketskFRbrowser") + 4


sealed_tokens = st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=17, max_size=900))


@given(st.lists(joins | scans | sealed_tokens, max_size=6), st.data())
def test_tokens_stand_between_the_records_and_each_reader_sees_its_own(
    records: list[Join | Scan | tuple[bytes, bytes]], data: st.DataObject
) -> None:
    written = [encode_token(*each) if isinstance(each, tuple) else encode(each) for each in records]
    journal = b"".join(written)
    assert list(decode(journal)) == [each for each in records if not isinstance(each, tuple)]
    assert list(tokens(journal)) == [each for each in records if isinstance(each, tuple)]
    cut = data.draw(st.integers(0, len(journal)))
    assert list(tokens(journal))[: len(list(tokens(journal[:cut])))] == list(tokens(journal[:cut]))


@given(st.data())
def test_scans_are_read_on_from_where_a_journal_ended_and_each_once(data: st.DataObject) -> None:
    badges = [a_join(seat, kind=JoinKind.BADGE) for seat in (1, 2, 3)]
    scans = [a_scan(f"n{badge.seat}", seat=badge.seat) for badge in badges]
    refused = encode(badges[0]) + encode(a_scan("n4", seat=1, refusal="scan_too_old"))
    writes = [encode_token(bytes(32), bytes(17)) + encode(badge) + encode(scan)
              for badge, scan in zip(badges, scans, strict=True)]  # fmt: skip
    journal = b"".join([encode(a_join(9)), writes[0], refused, encode(a_join(8)), *writes[1:]])
    found, read = [], 0
    for cut in [*sorted(data.draw(st.lists(st.integers(0, len(journal)), max_size=4))), len(journal)]:
        fresh, taken = accepted_scans(journal[read : max(cut, read)])
        found += fresh
        read += taken
    assert found == [(badge.pseudonym, scan) for badge, scan in zip(badges, scans, strict=True)]
    assert read == len(journal)


def test_a_token_without_a_sealed_form_ends_the_journal() -> None:
    join = encode(a_join())
    assert len(list(decode(join + encode_token(bytes(32), bytes(17)) + join))) == 2
    assert len(list(decode(join + encode_token(bytes(32), bytes(16)) + join))) == 1
