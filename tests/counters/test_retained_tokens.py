"""Retained tokens: each opens under the event's audit key, and can be forgotten, whatever crashes in between."""

import base64
import hashlib
import os
import random
from pathlib import Path

import numpy as np
import pytest

from counters import retained_tokens
from counters.retained_tokens import RetainedTokens
from counters.sealed_token import OVERHEAD_BYTES, TokenSeal
from counters.secrets import Secrets
from counters.tokens_file import ENTRY_BYTES, TokensFile, TokensFileError, pack
from tests.counters.fragile_disk import CrashError, FaultyDisk, crash, full

EVENT = hashlib.sha256(b"event").hexdigest()
KEY = bytes(range(32))
SEAL = TokenSeal(KEY, EVENT)


def _part(text: bytes) -> bytes:
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def jwt(number: int) -> bytes:
    """A compact JWT of its own for each number, with lengths that need all kinds of padding."""
    rng = random.Random(number)
    return b".".join(_part(rng.randbytes(rng.randint(1, 90))) for _ in range(3))


def digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def packed(numbers: range) -> bytes:
    tokens = [jwt(number) for number in numbers]
    return pack(EVENT, {digest(token): SEAL.seal(token, digest(token)) for token in tokens})


def kept(folder: Path) -> RetainedTokens:
    return RetainedTokens(folder / "tokens", KEY)


def held(tokens: RetainedTokens, numbers: range) -> list[int]:
    return [number for number in numbers if tokens.get(digest(jwt(number))) == jwt(number)]


def test_a_token_opens_byte_for_byte_under_its_own_event_key_and_digest() -> None:
    for number in range(200):
        token = jwt(number)
        sealed = SEAL.seal(token, digest(token))
        assert len(sealed) < len(token) + OVERHEAD_BYTES
        assert SEAL.open(sealed, digest(token)) == token
    other = digest(b"other")
    assert SEAL.open(sealed, other) is None
    assert TokenSeal(KEY, hashlib.sha256(b"another event").hexdigest()).open(sealed, digest(token)) is None
    assert TokenSeal(bytes(32), EVENT).open(sealed, digest(token)) is None
    for at in range(len(sealed)):
        assert SEAL.open(sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :], digest(token)) is None


def test_sealing_again_gives_the_same_bytes() -> None:
    token = jwt(1)
    assert SEAL.seal(token, digest(token)) == TokenSeal(KEY, EVENT).seal(token, digest(token))


def test_the_worked_examples() -> None:
    sealed = SEAL.seal(b"e30.e30.AAAA", digest(b"e30.e30.AAAA"))
    assert len(sealed) == 27
    assert SEAL.open(sealed, digest(b"e30.e30.AAAA")) == b"e30.e30.AAAA"
    file = pack(EVENT, {digest(b"e30.e30.AAAA"): sealed})
    assert len(file) == 115
    assert file[80:88] == bytes.fromhex("1b00000000000000")


@pytest.mark.parametrize("text", [b"", b"e30.e30", b"e30.e30.AAAA.AAAA", b"e.e30.AAAA"])
def test_what_is_no_compact_jwt_is_not_sealed(text: bytes) -> None:
    with pytest.raises(ValueError, match="no compact JWT"):
        SEAL.seal(text, digest(text))


def test_the_pseudonym_key_opens_nothing() -> None:
    secrets = Secrets(bytes(32), bytes(range(32)))
    assert secrets.audit_key == Secrets(bytes(32), os.urandom(32)).audit_key
    assert secrets.audit_key != Secrets(bytes(31) + b"\1", secrets.pseudonym_key).audit_key


def test_a_file_finds_each_token_and_no_other() -> None:
    file = TokensFile(packed(range(300)))
    file.check()
    assert len(file) == 300
    assert all(file.find(digest(jwt(n))) == SEAL.seal(jwt(n), digest(jwt(n))) for n in range(300))
    assert [file.find(d) for d in (digest(b"none"), bytes(32), b"\xff" * 32)] == [None] * 3


def test_a_digest_that_ends_in_zeros_is_a_digest() -> None:
    digests = [bytes(32), b"\1" + bytes(31), b"\1" * 31 + b"\0"]
    file = TokensFile(pack(EVENT, {each: each[:1] * 17 for each in digests}))
    file.check()
    assert [file.find(each) for each in digests] == [each[:1] * 17 for each in digests]


def test_a_file_of_another_shape_order_or_length_is_refused() -> None:
    sound = packed(range(5))
    for cut in range(len(sound)):
        with pytest.raises(TokensFileError):
            TokensFile(sound[:cut]).check()
    with pytest.raises(TokensFileError):
        TokensFile(sound + b"\0").check()
    swapped = sound[:48] + sound[88:128] + sound[48:88] + sound[128:]
    with pytest.raises(TokensFileError):
        TokensFile(swapped).check()
    for at in [*range(16), *range(48 + 34, 48 + ENTRY_BYTES)]:
        with pytest.raises(TokensFileError):
            TokensFile(sound[:at] + bytes((sound[at] ^ 0x80,)) + sound[at + 1 :]).check()


def test_tokens_are_kept_once_and_of_this_event_only(tmp_path: Path) -> None:
    tokens = kept(tmp_path)
    assert tokens.get(digest(jwt(0))) is None
    assert tokens.add(packed(range(10)), EVENT)
    assert not tokens.add(packed(range(10)), EVENT)
    assert tokens.add(packed(range(5, 20)), EVENT)
    with pytest.raises(TokensFileError, match="another event"):
        tokens.add(packed(range(3)), hashlib.sha256(b"another event").hexdigest())
    assert held(tokens, range(25)) == list(range(20))
    assert held(kept(tmp_path), range(25)) == list(range(20))
    assert (tmp_path / "tokens").stat().st_mode & 0o077 == 0


def test_small_files_are_merged_and_every_token_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained_tokens, "SMALL_FILES", 12)
    monkeypatch.setattr(retained_tokens, "FULL_BYTES", 8_000)
    tokens = kept(tmp_path)
    for number in range(60):
        tokens.add(packed(range(number * 5, number * 5 + 7)), EVENT)
        while tokens.merge():
            pass
    files = [path.stat().st_size for path in (tmp_path / "tokens").iterdir()]
    assert len([size for size in files if size < 4_000]) <= 12
    assert max(files) <= 8_000
    assert held(tokens, range(302)) == list(range(302))


def test_what_is_forgotten_is_gone_and_the_rest_is_not(tmp_path: Path) -> None:
    tokens = kept(tmp_path)
    tokens.add(packed(range(10)), EVENT)
    tokens.add(packed(range(5, 20)), EVENT)
    tokens.add(packed(range(30, 31)), EVENT)
    assert tokens.forget([digest(jwt(7)), digest(jwt(30)), digest(jwt(99))]) == 3
    assert held(tokens, range(31)) == [n for n in range(20) if n != 7]
    named = np.frombuffer(b"".join(digest(jwt(n)) for n in (19, 3, 500)), np.uint8).reshape(-1, 32)
    assert tokens.forget_all_but(named) == 21
    assert held(tokens, range(31)) == [3, 19]
    assert tokens.forget_all_but(np.empty((0, 32), np.uint8)) == 2
    tokens.add(packed(range(2)), EVENT)
    assert tokens.forget_all() == 2
    assert list((tmp_path / "tokens").iterdir()) == []


def test_forgetting_in_a_directory_without_tokens_does_nothing(tmp_path: Path) -> None:
    tokens = kept(tmp_path)
    assert (tokens.forget([bytes(32)]), tokens.forget_all(), tokens.merge(), tokens.size()) == (0, 0, False, (0, 0))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_hides_no_other_and_only_forgetting_all_deletes_it(tmp_path: Path) -> None:
    tokens = kept(tmp_path)
    tokens.add(packed(range(10)), EVENT)
    (tmp_path / "tokens" / ("0" * 64)).write_bytes(b"")
    (tmp_path / "tokens" / ("1" * 64)).write_bytes(packed(range(20, 30))[:400])
    # A token that does not open is no reason to miss the one in another file, whichever is looked at first.
    for byte in range(20):
        tokens.add(pack(EVENT, {digest(jwt(n)): bytes((byte,)) * 50 for n in range(10)}), EVENT)
    assert held(tokens, range(30)) == list(range(10))
    with pytest.raises(TokensFileError):
        tokens.forget([digest(jwt(1))])
    tokens.forget_all()
    assert list((tmp_path / "tokens").iterdir()) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("refuses", [False, True])
def test_a_crash_or_full_disk_at_any_step_loses_no_token_and_the_same_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool, refuses: bool
) -> None:
    monkeypatch.setattr(retained_tokens, "SMALL_FILES", 3)
    for step in range(100):
        folder = tmp_path / str(step)
        disk = FaultyDisk(fail_at=step, after=after, fault=full if refuses else crash)
        tokens = RetainedTokens(folder / "tokens", KEY, disk)
        acknowledged = 0
        try:
            for number in range(5):
                tokens.add(packed(range(number, number + 2)), EVENT)
                acknowledged = number + 2
                tokens.merge()
            tokens.forget([digest(jwt(1)), digest(jwt(2))])
            break
        except (CrashError, OSError):
            again = kept(folder)
            there = held(again, range(7))
            assert {*range(acknowledged)} - {*there} <= {1, 2}
            assert acknowledged == 6 or {*range(acknowledged)} <= {*there}
            for number in range(5):
                again.add(packed(range(number, number + 2)), EVENT)
            again.merge()
            again.forget([digest(jwt(1)), digest(jwt(2))])
            assert held(again, range(7)) == [0, 3, 4, 5]
            assert not list((folder / "tokens").glob("*.new"))
    assert step > 20
    assert held(tokens, range(7)) == [0, 3, 4, 5]


@pytest.mark.parametrize("after", [False, True])
def test_forgetting_all_again_after_a_crash_leaves_nothing(tmp_path: Path, after: bool) -> None:
    for step in range(5):
        folder = tmp_path / str(step)
        for number in range(3):
            kept(folder).add(packed(range(number, number + 2)), EVENT)
        (folder / "tokens" / "half-written.new").write_bytes(b"")
        tokens = RetainedTokens(folder / "tokens", KEY, FaultyDisk(fail_at=step, after=after))
        with pytest.raises(CrashError):
            tokens.forget_all()
        kept(folder).forget_all()
        assert list((folder / "tokens").iterdir()) == []
