"""Viewing tokens: what is sealed is opened, and nothing else is."""

import binascii
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.secrets import Generations, Secrets
from gateway.reasons import Reason
from gateway.viewing_token import TEXT_BYTES, TokenKeys, TokenRefused, ViewingToken

SECRETS = Secrets(bytes(range(32)), bytes(32))
KEYS = TokenKeys.derive(SECRETS, "expo")
TOKEN = ViewingToken(
    seat=70_000, session=3, attendee=9 << 24 | 5 << 14 | 77, view=1 << 24 | 99, view_id=0xFEED, expires_at=1_700_000_000
)
REFUSALS = {Reason.TOKEN_MALFORMED, Reason.TOKEN_FORGED, Reason.TOKEN_OTHER_EVENT}

u32 = st.integers(0, 2**32 - 1)
tokens = st.builds(
    ViewingToken,
    seat=st.integers(1, 2**31 - 1),
    session=st.integers(1, 2**16 - 1),
    attendee=u32,
    view=u32,
    view_id=st.integers(0, 2**64 - 1),
    expires_at=u32,
)


def refusal(text: bytes, keys: TokenKeys = KEYS) -> Reason:
    with pytest.raises(TokenRefused) as refused:
        keys.open(text)
    return refused.value.reason


@given(tokens)
def test_what_was_sealed_is_opened(token: ViewingToken) -> None:
    text = KEYS.seal(token)
    assert len(text) == TEXT_BYTES
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert KEYS.open(text.encode()) == token


def test_the_bytes_are_those_of_the_field_table() -> None:
    raw = binascii.a2b_base64(KEYS.seal(TOKEN).translate(str.maketrans("-_", "+/")))
    assert len(raw) == 48
    assert raw[0] == 1
    assert raw[1] == 1
    assert raw[4:12] == bytes.fromhex("70110100 0300 0000")
    assert raw[12:20] == bytes.fromhex("4d400109 63000001")
    assert raw[20:32] == bytes.fromhex("edfe000000000000 00f15365")


def test_every_flipped_bit_is_refused_with_a_reason() -> None:
    raw = binascii.a2b_base64(KEYS.seal(TOKEN).translate(str.maketrans("-_", "+/")))
    reasons = {}
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        text = binascii.b2a_base64(bytes(changed), newline=False).translate(bytes.maketrans(b"+/", b"-_"))
        reasons[bit // 8] = refusal(text)
    assert reasons[0] is Reason.TOKEN_MALFORMED  # another version
    assert reasons[1] is Reason.TOKEN_MALFORMED  # a key that this event does not have
    assert reasons[2] is reasons[3] is Reason.TOKEN_OTHER_EVENT
    assert {reasons[byte] for byte in range(4, 48)} == {Reason.TOKEN_FORGED}


def test_every_changed_character_is_refused() -> None:
    text = KEYS.seal(TOKEN).encode()
    for place in range(TEXT_BYTES):
        for character in b"A_z9 =+/\n\x00\xff":
            changed = text[:place] + bytes((character,)) + text[place + 1 :]
            if changed != text:
                assert refusal(changed) in REFUSALS


@given(st.binary(max_size=80) | st.binary(min_size=TEXT_BYTES, max_size=TEXT_BYTES))
def test_no_bytes_break_the_reader(text: bytes) -> None:
    assert refusal(text) in REFUSALS


@pytest.mark.parametrize("text", [b"", b"A" * 63, b"A" * 65, b"A" * 62 + b"==", b"A" * 63 + b"=", b"=" * 64])
def test_a_text_of_another_shape_is_malformed_or_forged(text: bytes) -> None:
    assert refusal(text) in {Reason.TOKEN_MALFORMED, Reason.TOKEN_FORGED}


def test_a_token_of_another_event_is_recognised_as_such() -> None:
    assert refusal(KEYS.seal(TOKEN).encode(), TokenKeys.derive(SECRETS, "fair")) is Reason.TOKEN_OTHER_EVENT


def test_a_token_made_with_another_secret_is_forged() -> None:
    other = TokenKeys.derive(Secrets(bytes(32), bytes(32)), "expo")
    assert refusal(other.seal(TOKEN).encode()) is Reason.TOKEN_FORGED


def test_the_keys_are_the_same_on_another_host_and_after_a_restart() -> None:
    again = TokenKeys.derive(Secrets(bytes(range(32)), bytes.fromhex("ff" * 32)), "expo")
    assert again.open(KEYS.seal(TOKEN).encode()) == TOKEN


def test_a_key_id_that_is_not_ours_is_malformed_whatever_its_mac() -> None:
    prefix = 1 | 7 << 8 | KEYS.event_tag << 16
    strange = TokenKeys(KEYS.event_tag, {1 | 1 << 8 | KEYS.event_tag << 16: bytes(32)})
    assert KEYS.by_prefix.keys() == {1 | key_id << 8 | KEYS.event_tag << 16 for key_id in (1, 2)}
    assert strange.refusal(prefix) is not Reason.TOKEN_FORGED


def keys_of(oldest: int, newest: int) -> TokenKeys:
    return TokenKeys.derive(replace(SECRETS, generations={"viewing-token": Generations(oldest, newest)}), "expo")


def test_a_new_key_is_taken_by_hosts_that_do_not_give_it_out_yet_and_a_withdrawn_one_by_nobody() -> None:
    old, both, new = KEYS.seal(TOKEN).encode(), keys_of(1, 2), keys_of(2, 2)
    fresh = both.seal(TOKEN).encode()
    assert fresh != old
    for keys in (KEYS, both):
        assert [keys.open(text) for text in (old, fresh)] == [TOKEN, TOKEN]
    assert new.open(fresh) == TOKEN
    assert refusal(old, new) is Reason.TOKEN_REVOKED, "its player joins again with the ticket"
    assert refusal(keys_of(4, 4).seal(TOKEN).encode()) is Reason.TOKEN_MALFORMED, "two ahead is none that we know"
