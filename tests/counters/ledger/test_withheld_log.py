"""A log that is withheld until it is cosigned: nothing else is ever shown, whatever crashes, and nothing is lost."""

from pathlib import Path

import pytest

from counters.ledger.checkpoint import open_checkpoint, sign_checkpoint
from counters.ledger.cosignature import cosign, with_cosignatures
from counters.ledger.log import Log, LogError, LogReader
from counters.ledger.note import NoteError, Signer
from counters.ledger.tile_files import LogCorruptError
from counters.ledger.tiles import tiles_of
from tests.counters.fragile_disk import CrashError, FragileDisk, listing
from tests.counters.ledger.test_log_crashes import group

SIGNER = Signer("log.example/expo", bytes(range(32)))
WITNESS = Signer("witness.example/news", bytes(range(1, 33)))
GROUPS = (1, 254, 1, 260, 3, 300)
PUBLISHED_AFTER = (1, 3, 4)
"""The groups after which a quorum comes about; the others are shown with a later one or, the last, not at all."""


def cosigned(log: Log) -> bytes:
    """What would come back from a witness for the log as it is."""
    checkpoint, note = log.signed
    return with_cosignatures(note, [cosign(checkpoint.encode(), WITNESS, 1_700_000_000)])


def withheld(directory: Path, **more: object) -> Log:
    return Log.open(directory, SIGNER, withhold=True, **more)  # type: ignore[arg-type]


def shown(directory: Path) -> int:
    """What the public finds there, checked whole; 0 if it finds nothing."""
    if not (directory / "checkpoint").exists():
        return 0
    note = (directory / "checkpoint").read_bytes()
    assert b"witness.example/news" in note, "what is shown is cosigned"
    return LogReader(directory, SIGNER.verifier).full_check().size


def not_there(directory: Path, size: int) -> list[str]:
    """What readers of a shown checkpoint ask for, by its very name, and do not find."""
    return [tile.path for tile in tiles_of(size) if not (directory / tile.path).exists()]


def test_what_is_appended_is_in_the_log_and_shown_only_when_it_is_published(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    with withheld(directory) as log:
        assert not (directory / "checkpoint").exists()
        for number, size in enumerate(GROUPS):
            log.append(group(number, size))
            assert log.checkpoint.size == sum(GROUPS[: number + 1])
            assert list(log.entries())[-size:] == group(number, size)
            if number in PUBLISHED_AFTER:
                assert log.publish(cosigned(log))
            at = max((sum(GROUPS[: each + 1]) for each in PUBLISHED_AFTER if each <= number), default=0)
            assert log.published.size == shown(directory) == at
            assert not_there(directory, at) == []
            for index in range(0, at, 97):
                entry = log.entry(index)
                assert log.published.tlog_proof(index).verify(entry, SIGNER.verifier).size == at
    with withheld(directory) as again:
        assert (again.size, again.published.size) == (sum(GROUPS), sum(GROUPS[:5]))
        assert b"witness" in again.published.checkpoint_note
        assert again.publish(cosigned(again))
        assert shown(directory) == again.size


def test_an_earlier_state_than_the_shown_one_is_not_shown_again(tmp_path: Path) -> None:
    with withheld(tmp_path / "log") as log:
        log.append(group(0, 5))
        early = cosigned(log)
        log.append(group(1, 5))
        assert log.publish(cosigned(log))
        assert not log.publish(early)
        assert shown(tmp_path / "log") == 10


def test_a_state_that_has_been_passed_may_be_shown_late(tmp_path: Path) -> None:
    with withheld(tmp_path / "log") as log:
        for number in range(3):
            log.append(group(number, 200))
            if number == 0:
                early = cosigned(log)
        assert log.publish(early)
        assert shown(tmp_path / "log") == 200


def test_only_what_this_log_has_been_is_shown(tmp_path: Path) -> None:
    with withheld(tmp_path / "log") as log, withheld(tmp_path / "other") as other:
        log.append(group(0, 5))
        log.append(group(1, 5))
        other.append(group(2, 5))
        for wrong in (cosigned(other), sign_checkpoint(other.checkpoint, SIGNER)):
            with pytest.raises(LogError, match="never been"):
                log.publish(wrong)
        other.append(group(3, 20))
        with pytest.raises(LogError, match="never been"):
            log.publish(cosigned(other))
        stranger = sign_checkpoint(log.checkpoint, Signer(SIGNER.name, bytes(32)))
        with pytest.raises(NoteError):
            log.publish(stranger)
        assert shown(tmp_path / "log") == 0


def test_more_cosignatures_come_onto_a_note_that_is_shown_and_stay_through_a_restart(tmp_path: Path) -> None:
    with Log.open(tmp_path / "log", SIGNER) as log:
        log.append(group(0, 5))
        bare = (tmp_path / "log" / "checkpoint").read_bytes()
        note = cosigned(log)
        assert log.publish(note)
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.checkpoint_note == note == (tmp_path / "log" / "checkpoint").read_bytes() != bare
        log.append(group(1, 5))
        assert not log.publish(note), "the newer state stays"
        assert log.published.size == 10


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("power_loss", [False, True])
def test_no_crash_shows_what_is_not_cosigned_or_loses_what_is_committed(
    tmp_path: Path, *, after: bool, power_loss: bool
) -> None:
    """Killed, or without power, before or after each step from opening to the last group."""
    step = crashes = 0
    while True:
        home = tmp_path / str(step)
        home.mkdir()
        directory = home / "log"
        disk = FragileDisk(fail_at=step, after=after)
        disk.durable = {home: listing(home)}
        committed = published = 0
        crashed = False
        try:
            with withheld(directory, disk=disk) as log:
                for number, size in enumerate(GROUPS):
                    log.append(group(number, size))
                    committed += size
                    if number in PUBLISHED_AFTER:
                        log.publish(cosigned(log))
                        published = committed
        except CrashError:
            crashed = True
            crashes += 1
        if power_loss:
            disk.after_power_loss(home, tmp_path / f"{step} lost", lambda: False)
            directory = tmp_path / f"{step} lost" / "log"
        assert shown(directory) >= published, "what was published stays"
        with withheld(directory) as log:
            assert log.size >= committed
            assert shown(directory) == log.published.size >= published
            assert not_there(directory, log.published.size) == []
            expected = [entry for number, size in enumerate(GROUPS) for entry in group(number, size)]
            assert list(log.entries()) == expected[: log.size]
            log.publish(cosigned(log))
            assert shown(directory) == log.size
        if not crashed:
            break
        step += 1
    assert crashes > 50


def test_a_withheld_log_is_signed_when_it_is_asked_for_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[bytes] = []
    real = Signer.sign
    monkeypatch.setattr(Signer, "sign", lambda self, message: signed.append(message) or real(self, message))  # type: ignore[func-returns-value]
    with withheld(tmp_path / "log") as log:
        log.append(group(0, 5))
    with withheld(tmp_path / "log") as log:
        assert {message.split(b"\n")[1] for message in signed} <= {b"0"}, "only the empty tree"
        assert open_checkpoint(log.checkpoint_note, SIGNER.verifier).size == 5


def test_a_log_whose_published_state_is_another_is_not_opened(tmp_path: Path) -> None:
    with withheld(tmp_path / "log") as log, withheld(tmp_path / "other") as other:
        log.append(group(0, 5))
        other.append(group(1, 5))
        (tmp_path / "log" / "checkpoint").write_bytes(cosigned(other))
    with pytest.raises(LogCorruptError):
        withheld(tmp_path / "log")
