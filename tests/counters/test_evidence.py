"""Segments, manifests and what they are made of: one spelling each, and nothing else is read."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters import canonical_json, hyperloglog, roaring
from counters.evidence import (
    Coverage,
    JournalSegment,
    PresenceSegment,
    SegmentError,
    SegmentHead,
    SessionPresence,
    decode,
    decode_registers,
    encode,
    encode_registers,
    journal_segments,
)
from counters.journal import Assurance, Direction, Join, JoinKind, Scan
from counters.manifest import EvidenceFile, Granted, Manifest, ManifestError, SketchDigest
from counters.segment import coverage_rows

VECTORS = Path(__file__).parents[1] / "vectors"
DIGEST = hashlib.sha256(b"event").hexdigest()
WINDOW = 1_700_355_600
MEASURED = Coverage(
    "00112233aabbccdd", "gateway-1", WINDOW * 1000, WINDOW * 1000 + 60_000, WINDOW * 1000 + 59_000, crashed=False,
    records=7, clock_offset_ms=-12,
)  # fmt: skip
UNREADABLE = Coverage(
    "00112233aabbccde", "gateway-1", WINDOW * 1000, WINDOW * 1000, WINDOW * 1000, crashed=True, records=0,
    unreadable=True,
)  # fmt: skip
HEAD = SegmentHead(
    DIGEST,
    "gateway-1",
    WINDOW,
    30,
    (MEASURED, UNREADABLE),
)
OLD_HEAD = replace(HEAD, workers=(replace(MEASURED, clock_offset_ms=None),), version=1)
JOIN = Join(
    seat=7, session=1, kind=JoinKind.TICKET, assurance=Assurance.TICKETED, filters=0, view=2**63 + 1,
    joined_at_ms=1_700_355_601_234, pseudonym=bytes(range(16)), token_digest=bytes(32), address=b"addressx",
    issuer="tickets", key_thumbprint="thumb", country="FR", category="visitor", outlet="étude", network="",
    agent="browser",
)  # fmt: skip
SCAN = Scan(
    seat=9, session=1, direction=Direction.IN, forced=False, scanned_at_ms=1_700_355_602_000,
    received_at_ms=1_700_355_603_000, gate="hall-a", nonce="n-1", refusal="",
)  # fmt: skip

seats = st.sets(st.integers(1, 2**32 - 1) | st.integers(1, 200_000), max_size=80).map(BitMap)
ranges = st.tuples(st.integers(1, 2**20), st.integers(0, 70_000)).map(lambda pair: BitMap(range(pair[0], sum(pair))))


def registers_of(elements: int) -> hyperloglog.Registers:
    registers = hyperloglog.empty()
    for element in range(elements):
        hyperloglog.add(registers, element.to_bytes(8, "little"))
    return registers


def presence(session: int = 7, head: SegmentHead = HEAD) -> PresenceSegment:
    one = SessionPresence(session, BitMap([1, 2, 5, 70_000]), BitMap([5]), registers_of(4), registers_of(6))
    return PresenceSegment.of(head, {"token_expired": 3, "token_forged": 0}, [one])


def journal(head: SegmentHead = HEAD) -> JournalSegment:
    return JournalSegment.of(head, [JOIN, SCAN, replace(JOIN, seat=8, country="")])


@given(seats | ranges)
def test_a_set_of_seats_reads_back_whatever_way_it_was_built(members: BitMap) -> None:
    data = roaring.encode(members)
    assert roaring.decode(data) == members
    rebuilt = BitMap()
    rebuilt.update(reversed(members.to_array()))
    assert roaring.encode(rebuilt) == data


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_set_of_seats_or_an_error(data: bytes) -> None:
    try:
        members = roaring.decode(data)
    except roaring.RoaringError:
        return
    assert roaring.encode(members) == data


@given(seats | ranges, st.integers(0, 2**30), st.integers(0, 7), st.booleans())
def test_changed_bytes_of_a_set_are_another_set_in_its_own_form_or_an_error(
    members: BitMap, place: int, bit: int, whole: bool
) -> None:
    data = bytearray(members.serialize() if whole else roaring.encode(members))
    data[place % len(data)] ^= 1 << bit
    try:
        read = roaring.decode(bytes(data))
    except roaring.RoaringError:
        return
    assert roaring.encode(read) == data


@pytest.mark.parametrize("many", [range(70_000), range(20_000), range(5, 9), [*range(0, 131_072, 2), 200_000, 9**9]])
def test_containers_that_are_not_in_their_smallest_form_are_refused(many: list[int] | range) -> None:
    members = BitMap(list(many))
    assert roaring.decode(roaring.encode(members)) == members
    if members.serialize() != roaring.encode(members):
        with pytest.raises(roaring.RoaringError, match="not canonical"):
            roaring.decode(members.serialize())


def test_two_runs_that_are_one_and_offsets_that_lead_elsewhere_are_refused() -> None:
    one_run = roaring.encode(BitMap(range(1, 9)))
    two_runs = one_run[:9] + bytes.fromhex("0200 0100 0300 0500 0300")
    with pytest.raises(roaring.RoaringError, match="two runs are one"):
        roaring.decode(two_runs)
    arrays = bytearray(roaring.encode(BitMap([1, 70_000])))
    arrays[16:18] = (26).to_bytes(2, "little")
    with pytest.raises(roaring.RoaringError, match="offset"):
        roaring.decode(bytes(arrays))


def test_a_run_container_is_written_as_the_format_page_says() -> None:
    assert roaring.encode(BitMap([1, 2, 3, 4])).hex() == "3b3000000100000300010001000300"
    assert roaring.encode(BitMap([1, 2, 3])).hex() == "3a300000010000000000020010000000010002000300"


def test_a_container_whose_cardinality_lies_never_reaches_the_c_library() -> None:
    bits = bytearray(roaring.encode(BitMap(range(0, 20_000, 2))))
    bits[10:12] = (5000 - 1).to_bytes(2, "little")
    with pytest.raises(roaring.RoaringError, match="cardinality"):
        roaring.decode(bytes(bits))


def test_a_presence_segment_reads_back_as_it_was_written() -> None:
    assert decode(encode(presence())) == presence()


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.integers(1, 65_535), st.tuples(seats | ranges, st.integers(0, 30), st.integers(0, 30)), max_size=4
    ),
    st.dictionaries(st.text("abc_", max_size=8), st.integers(0, 2**53 - 1), max_size=3),
)
def test_any_presence_segment_reads_back_as_it_was_written(
    sessions: dict[int, tuple[BitMap, int, int]], refusals: dict[str, int]
) -> None:
    rows = [
        SessionPresence(number, playing, BitMap(playing[::2]), registers_of(attendees), registers_of(views))
        for number, (playing, attendees, views) in sessions.items()
    ]
    evidence = PresenceSegment.of(HEAD, refusals, rows)
    data = encode(evidence)
    assert decode(data) == evidence
    assert encode(decode(data)) == data


def test_a_journal_segment_reads_back_as_it_was_written() -> None:
    data = encode(journal())
    back = decode(data)
    assert isinstance(back, JournalSegment)
    assert back == journal()
    assert list(back.records()) == [JOIN, replace(JOIN, seat=8, country=""), SCAN]


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            Join,
            seat=st.integers(1, 2**32 - 1),
            session=st.integers(0, 65_535),
            kind=st.sampled_from(JoinKind),
            assurance=st.sampled_from(Assurance),
            filters=st.integers(0, 2**32 - 1),
            view=st.integers(0, 2**64 - 1),
            joined_at_ms=st.integers(0, 2**42 - 1),
            pseudonym=st.binary(min_size=16, max_size=16),
            token_digest=st.binary(min_size=32, max_size=32),
            address=st.binary(min_size=8, max_size=8),
            **dict.fromkeys(
                ("issuer", "key_thumbprint", "country", "category", "outlet", "network", "agent"), st.text(max_size=5)
            ),
        ),
        max_size=6,
    ),
    st.lists(
        st.builds(
            Scan,
            seat=st.integers(1, 2**32 - 1),
            session=st.integers(0, 65_535),
            direction=st.sampled_from(Direction),
            forced=st.booleans(),
            scanned_at_ms=st.integers(0, 2**64 - 1),
            received_at_ms=st.integers(0, 2**64 - 1),
            gate=st.text(max_size=5),
            nonce=st.text(max_size=5),
            refusal=st.text(max_size=5),
        ),
        max_size=6,
    ),
)
def test_any_journal_segment_reads_back_as_it_was_written(joins: list[Join], scans: list[Scan]) -> None:
    evidence = JournalSegment.of(HEAD, [*joins, *scans])
    data = encode(evidence)
    back = decode(data)
    assert isinstance(back, JournalSegment)
    assert back == evidence
    assert list(back.records()) == [*joins, *scans]
    assert encode(back) == data


@pytest.mark.parametrize("make", [presence, journal])
def test_no_byte_of_a_segment_can_be_flipped_without_being_refused_or_meaning_something_else(make: object) -> None:
    evidence = make()  # type: ignore[operator]
    data = encode(evidence)
    for position in range(len(data)):
        for mask in (0x01, 0x80):
            changed = bytearray(data)
            changed[position] ^= mask
            try:
                back = decode(bytes(changed))
            except SegmentError:
                continue
            assert back != evidence
            assert encode(back) == bytes(changed)


@pytest.mark.parametrize("make", [presence, journal])
def test_a_torn_or_padded_segment_is_refused(make: object) -> None:
    data = encode(make())  # type: ignore[operator]
    with pytest.raises(SegmentError):
        decode(data + b"\0")
    for length in range(len(data)):
        try:
            back = decode(data[:length])
        except SegmentError:
            continue
        assert encode(back) == data[:length], "a cut between two sections leaves a smaller sound segment"


@given(st.sampled_from((b"\1", b"\2")), st.binary(max_size=80))
def test_arbitrary_bytes_are_a_segment_error(version: bytes, data: bytes) -> None:
    with pytest.raises(SegmentError):
        decode(b"TURNSEG\0" + version + b"\0\x01\0" + data)


def test_more_texts_than_a_segment_holds_are_spread_over_several() -> None:
    scans = [replace(SCAN, nonce=f"n-{number}") for number in range(65_540)]
    with pytest.raises(SegmentError, match="65536"):
        JournalSegment.of(HEAD, scans)
    segments = journal_segments(HEAD, scans)
    assert [len(segment.scans) for segment in segments] == [65_534, 6]
    assert [len(segment.scans) for segment in journal_segments(HEAD, [SCAN, SCAN])] == [2]
    assert journal_segments(HEAD, []) == []


def test_a_background_seat_that_is_not_present_and_seat_zero_are_refused() -> None:
    for playing, background in ((BitMap([1]), BitMap([2])), (BitMap([0, 1]), BitMap())):
        row = SessionPresence(1, playing, background, hyperloglog.empty(), hyperloglog.empty())
        with pytest.raises(SegmentError):
            encode(PresenceSegment(HEAD, {}, (row,)))


@pytest.mark.parametrize("elements", [0, 1, 50, 5000, 20_000])
def test_registers_read_back_sparse_or_packed(elements: int) -> None:
    registers = np.zeros(hyperloglog.REGISTERS, np.uint8)
    registers[:elements] = 3
    payload = encode_registers(registers)
    assert len(payload) == min(3 * elements, hyperloglog.PACKED_BYTES)
    assert np.array_equal(decode_registers(payload), registers)


def test_sparse_registers_are_written_as_the_format_page_says() -> None:
    registers = hyperloglog.empty()
    registers[5] = 3
    assert encode_registers(registers).hex() == "050003"
    for wrong in ("050034", "050000", "004003", "050003050003", "0500"):
        with pytest.raises(SegmentError):
            decode_registers(bytes.fromhex(wrong))
    with pytest.raises(SegmentError, match="sparse form is shorter"):
        decode_registers(hyperloglog.pack(registers))


def manifest() -> Manifest:
    return Manifest(
        DIGEST,
        "2023-11-19T09:00:00+08:00",
        30,
        (EvidenceFile("0" * 64, "presence", 100, "gateway-1"), EvidenceFile("1" * 64, "journal", 50, "gateway-1")),
        HEAD.workers,
        ("ffff000011112222",),
        (SketchDigest("opening", "attendees", "2" * 64),),
        "turnout 0.1.0",
        granted=(Granted("ffff000011112222", 1_700_355_600, (0, 7)),),
    )


def test_a_manifest_reads_back_as_it_was_written() -> None:
    assert Manifest.decode(manifest().encode()) == manifest()


def test_evidence_of_version_1_is_read_and_keeps_its_bytes() -> None:
    """These files were written by the last version that wrote them."""
    old = {path.stem: bytes.fromhex(path.read_text()) for path in (VECTORS / "evidence-v1").iterdir()}
    for name, meant in (("presence", presence(head=OLD_HEAD)), ("journal", journal(OLD_HEAD))):
        assert decode(old[name]) == meant
        assert encode(meant) == old[name]
    old_manifest = replace(manifest(), coverage=OLD_HEAD.workers, version=1, granted=())
    assert Manifest.decode(old["manifest"]) == old_manifest
    assert old_manifest.encode() == old["manifest"]


@pytest.mark.parametrize("row", [MEASURED, replace(UNREADABLE, crashed=False)])
def test_version_1_is_never_made_to_hold_what_it_cannot_say(row: Coverage) -> None:
    with pytest.raises(SegmentError, match="version 1"):
        encode(presence(head=replace(OLD_HEAD, workers=(row,))))


@pytest.mark.parametrize(
    "changes",
    [
        {"clock_offset_ms": 0.5}, {"clock_offset_ms": "0"}, {"clock_offset_ms": True}, {"clock_offset_ms": 2**53},
        {"clock_offset_ms": -(2**53)}, {"unreadable": 1}, {"unreadable": None}, {"unreadable": True}, {"records": -1},
    ],
)  # fmt: skip
def test_a_coverage_row_with_a_wrong_field_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SegmentError):
        coverage_rows([MEASURED.as_json(2) | changes], 2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_coverage_row_has_the_fields_of_its_version_and_no_other(version: int) -> None:
    row = MEASURED.as_json(version)
    assert coverage_rows([row], version)
    for wrong in (MEASURED.as_json(3 - version), row | {"more": 1}):
        with pytest.raises(SegmentError, match="other fields"):
            coverage_rows([wrong], version)


@pytest.mark.parametrize(
    "rows",
    [
        None, {}, [1], [{}], [{"worker": 1, "since": 0, "blocks": [1]}], [{"worker": "a", "since": -1, "blocks": [1]}],
        [{"worker": "a", "since": 0, "blocks": []}], [{"worker": "a", "since": 0, "blocks": [2, 1]}],
        [{"worker": "a", "since": 0, "blocks": [1, 1]}], [{"worker": "a", "since": 0, "blocks": [32_768]}],
        [{"worker": "a", "since": 0, "blocks": [1]}] * 2, [{"worker": "a", "since": 0, "blocks": [1], "more": 1}],
    ],
)  # fmt: skip
def test_granted_seats_with_a_wrong_field_are_refused(rows: object) -> None:
    document = canonical_json.decode(manifest().encode())
    with pytest.raises(ManifestError):
        Manifest.decode(canonical_json.encode(document | {"granted": rows}))


def test_no_byte_of_a_manifest_can_be_flipped_without_being_refused_or_meaning_something_else() -> None:
    data = manifest().encode()
    for position in range(len(data)):
        for mask in (0x01, 0x10, 0x80):
            changed = bytearray(data)
            changed[position] ^= mask
            try:
                back = Manifest.decode(bytes(changed))
            except ManifestError:
                continue
            assert back != manifest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2]",
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        "1.0",
        "1e2",
        "NaN",
        "9007199254740992",
        '"\\u0041"',
        "[" * 9999,
    ],
)
def test_another_spelling_of_a_json_value_is_refused(text: str) -> None:
    with pytest.raises(canonical_json.CanonicalJsonError):
        canonical_json.decode(text.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e15, 1e15)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(json_values)
def test_any_json_value_reads_back_from_its_canonical_form(value: object) -> None:
    assert canonical_json.decode(canonical_json.encode(value)) == value
