"""Signed notes: the specification's example, every rule with an input that breaks it, and totality."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.ledger.note import (
    NOTE_LIMIT_BYTES,
    SIGNATURES_LIMIT,
    NoteError,
    Signature,
    Signer,
    Verifier,
    encode_base64,
    open_note,
    sign_note,
)

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    b"This is an example message.\n\n\xe2\x80\x94 example.com/foo "
    b"Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
ALICE = Signer("alice.example/log", bytes(range(32)))
BOB = Signer("bob.example/witness", bytes(range(32, 64)))


def line_of(name: str, data: bytes) -> bytes:
    return f"— {name} {encode_base64(data)}\n".encode()


def test_the_specifications_example_opens() -> None:
    verifier = Verifier.decode(EXAMPLE_KEY)
    assert verifier.encode() == EXAMPLE_KEY
    note = open_note(EXAMPLE_NOTE, [verifier])
    assert note.text == "This is an example message.\n"
    assert [signature.key_id.hex() for signature in note.verified] == ["530d903a"]
    assert note.ignored == ()


def test_keys_come_back_from_their_text_even_with_a_plus_in_the_base64() -> None:
    for number in range(64):
        signer = Signer("log.example", bytes([0x3E, 0xFB, number]) * 10 + b"\xef\xbe")
        assert "+" in signer.encode().split("+", 4)[4]
        assert Signer.decode(signer.encode()) == signer
        assert Verifier.decode(signer.verifier.encode()) == signer.verifier


def test_generated_keys_differ_and_sign() -> None:
    first, second = Signer.generate("log.example"), Signer.generate("log.example")
    assert first.seed != second.seed
    assert open_note(sign_note("text\n", [first]), [first.verifier]).text == "text\n"


def test_a_signer_key_is_never_printed() -> None:
    assert ALICE.encode().split("+")[-1] not in repr(ALICE)
    assert repr(ALICE.seed) not in repr(ALICE)
    with pytest.raises(NoteError) as refusal:
        Signer.decode(ALICE.encode().replace("+A", "+B", 1).replace("AAEC", "AAE!"))
    assert "AAE!" not in str(refusal.value)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",  # not this key's id
        "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",  # not this name's id
        "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",  # type 4
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U0=",  # 31 bytes
        "example.com/foo+530d903a+",
        "example.com/foo+530d903a+????",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\n",
    ],
)
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        Verifier.decode(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb", "a\x00b", "a\u0085b", "a\ud800b"])
def test_a_key_name_with_a_space_plus_or_control_character_is_refused(name: str) -> None:
    with pytest.raises(NoteError):
        Signer.generate(name)
    with pytest.raises(NoteError):
        Verifier(name, ALICE.verifier.public_key)


def test_a_signer_key_in_another_form_is_refused() -> None:
    good = ALICE.encode()
    for bad in ("", good[1:], good.removeprefix("PRIVATE+KEY+"), good[:-4], good.replace("+A", "+B")):
        with pytest.raises(NoteError):
            Signer.decode(bad)


def test_text_may_have_empty_lines_and_is_split_at_the_last_one() -> None:
    text = "verse\n\n— not a signature\n\nverse\n"
    assert open_note(sign_note(text, [ALICE]), [ALICE.verifier]).text == text
    assert open_note(sign_note("\n", [ALICE]), [ALICE.verifier]).text == "\n"


def test_line_separators_of_unicode_do_not_end_a_line() -> None:
    text = "a\u2028b\u2029c\u0085d\n"
    assert open_note(sign_note(text, [ALICE]), [ALICE.verifier]).text == text


def test_lines_of_unknown_keys_are_ignored_whatever_their_type() -> None:
    note = sign_note("text\n", [ALICE, BOB])
    note += line_of("witness.example", b"\x01\x02\x03\x04" + bytes(72))  # a timestamped cosignature
    note += line_of("witness.example", b"\x05\x06\x07\x08" + bytes(2420))  # a post-quantum one
    note += line_of(ALICE.name, b"\x00\x00\x00\x00" + bytes(64))  # a known name with another id
    note += line_of("someone.example", ALICE.verifier.key_id + bytes(64))  # a known id with another name
    note += line_of("tiny.example", b"\x00\x00\x00\x00\x01")
    opened = open_note(note, [ALICE.verifier])
    assert [signature.name for signature in opened.verified] == [ALICE.name]
    assert len(opened.ignored) == 6


def test_a_known_key_with_a_bad_signature_rejects_the_note_beside_any_good_ones() -> None:
    good = sign_note("text\n", [ALICE, BOB])
    bad_line = Signature(BOB.name, BOB.verifier.key_id, BOB.sign(b"other\n")).line.encode()
    short_line = Signature(ALICE.name, ALICE.verifier.key_id, b"short").line.encode()
    for message in (good + bad_line, good + short_line, sign_note("text\n", [ALICE]) + bad_line):
        with pytest.raises(NoteError, match="does not verify"):
            open_note(message, [ALICE.verifier, BOB.verifier])


def test_a_note_that_no_trusted_key_has_signed_is_refused() -> None:
    with pytest.raises(NoteError, match=r"no trusted key .* alice"):
        open_note(sign_note("text\n", [BOB]), [ALICE.verifier])
    with pytest.raises(NoteError, match="nobody"):
        open_note(sign_note("text\n", [BOB]), [])


def test_two_trusted_keys_of_one_name_and_id_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "key_id", b"same")
    twin = Signer(ALICE.name, bytes(32)).verifier
    with pytest.raises(NoteError, match="share"):
        open_note(EXAMPLE_NOTE, [ALICE.verifier, twin])


GOOD = sign_note("text\n", [ALICE])
GOOD_LINE = GOOD.removeprefix(b"text\n\n")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\n" + GOOD_LINE,
        b"text\n" + GOOD_LINE,
        GOOD[:-1],
        GOOD + b"\n",
        GOOD + b"x\n",
        b"te\xffxt\n\n" + GOOD_LINE,
        b"te\x00xt\n\n" + GOOD_LINE,
        b"te\txt\n\n" + GOOD_LINE,
        b"text\r\n\n" + GOOD_LINE,
        b"text\n\n" + GOOD_LINE.replace("—".encode(), b"-"),
        b"text\n\n" + GOOD_LINE.replace(b" ", b"  ", 1),
        b"text\n\n" + GOOD_LINE.replace(b" ", b"\t", 1),
        b"text\n\n" + GOOD_LINE.replace(b"\n", b" \n"),
        b"text\n\n" + GOOD_LINE.replace(b"\n", b"=\n"),
        b"text\n\n" + line_of("", ALICE.verifier.key_id + bytes(64)) + GOOD_LINE,
        b"text\n\n" + line_of("a+b", ALICE.verifier.key_id + bytes(64)) + GOOD_LINE,
        b"text\n\n" + line_of("other", b"\x00\x00\x00\x00") + GOOD_LINE,
        b"text\n\n" + "— other AAAA\u00c4A==\n".encode() + GOOD_LINE,
    ],
)
def test_a_malformed_note_is_refused(message: bytes) -> None:
    with pytest.raises(NoteError):
        open_note(message, [ALICE.verifier])


def test_as_many_signatures_as_the_limit_are_read_and_not_one_more() -> None:
    filler = line_of("other.example", bytes(68))
    full = GOOD + filler * (SIGNATURES_LIMIT - 1)
    assert open_note(full, [ALICE.verifier]).text == "text\n"
    with pytest.raises(NoteError, match="at most 100"):
        open_note(full + filler, [ALICE.verifier])


def test_a_note_longer_than_the_limit_is_refused() -> None:
    note = sign_note("x" * NOTE_LIMIT_BYTES + "\n", [ALICE])
    with pytest.raises(NoteError, match="at most"):
        open_note(note, [ALICE.verifier])


@pytest.mark.parametrize("text", ["", "text", "te\x00xt\n", "te\rxt\n", "te\ud800xt\n"])
def test_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, [ALICE])


def test_a_note_is_signed_by_somebody() -> None:
    with pytest.raises(NoteError):
        sign_note("text\n", [])


def test_every_flipped_bit_of_a_note_with_one_signature_is_noticed() -> None:
    for position in range(len(GOOD)):
        for bit in range(8):
            forged = bytearray(GOOD)
            forged[position] ^= 1 << bit
            with pytest.raises(NoteError):
                open_note(bytes(forged), [ALICE.verifier])


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=200))
def test_any_text_comes_back_from_its_note(text: str) -> None:
    opened = open_note(sign_note(text + "\n", [BOB, ALICE]), [ALICE.verifier, BOB.verifier])
    assert opened.text == text + "\n"
    assert [signature.name for signature in opened.verified] == [BOB.name, ALICE.name]


@given(st.binary(max_size=300), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_junk_in_a_note_ends_in_a_note_error_or_changes_no_signed_text(junk: bytes, start: int, end: int) -> None:
    try:
        note = open_note(GOOD[:start] + junk + GOOD[end:], [ALICE.verifier])
    except NoteError:
        return
    assert note.text == "text\n"


@given(st.text(max_size=120))
def test_junk_for_a_key_ends_in_a_note_error(junk: str) -> None:
    for text in (junk, "PRIVATE+KEY+" + junk, "a+00000000+" + junk):
        with pytest.raises(NoteError):
            Verifier.decode(text)
        with pytest.raises(NoteError):
            Signer.decode(text)
