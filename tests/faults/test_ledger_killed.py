"""The ledger is killed (SIGKILL, real processes) before and after each step that its log takes on the disk.

An outsider who looks at the published checkpoint the whole time never sees two that contradict each other, nor an older
one after a newer one.
"""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest

from counters.clock import SimulatedClock
from counters.evidence_store import EvidenceStore
from counters.handover import HandOver, WorkerReport
from counters.ledger.checkpoint import Checkpoint, open_checkpoint
from counters.ledger.log import Log, LogReader
from counters.ledger.merkle import verify_consistency
from counters.ledger.note import Signer, Verifier
from counters.log_entries import read_log
from counters.sealed_evidence import read_evidence_of
from counters.secrets import load_secrets
from counters.segment import WINDOW_S
from gateway.development_issuer import load_event_creating_keys
from gateway.ledger_client import GRANT_PATH, HAND_OVER_PATH, signed_headers
from tests.counters.ledger_at_hand import presence
from tests.faults.parts import LedgerPart
from tests.faults.rig import STARTS_AT, WINDOW
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import NO_REDIS, until

SIGNER: Final = Signer("ledger.test/expo", bytes(range(32)))
BEFORE_A_TILE: Final = 254
"""A tile is full at 256 entries: the next three appends fill it up to the last place, whole, and begin another."""


class Seen:
    """The checkpoints that an outsider has seen, in the order of time."""

    def __init__(self, log: Path, verifier: Verifier) -> None:
        self._log = log
        self._verifier = verifier
        self.checkpoints: list[Checkpoint] = []

    def look(self) -> None:
        """Read the published one."""
        try:
            note = (self._log / "checkpoint").read_bytes()
        except FileNotFoundError:
            return
        checkpoint = open_checkpoint(note, self._verifier)
        if not self.checkpoints or self.checkpoints[-1] != checkpoint:
            self.checkpoints.append(checkpoint)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.002):
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.look()

    def check(self) -> None:
        """Prove each pair consistent, and that none was older than one before it."""
        sizes = [checkpoint.size for checkpoint in self.checkpoints]
        assert sizes == sorted(set(sizes)), f"the log went back, or has two checkpoints of one size: {sizes}"
        reader = LogReader(self._log, self._verifier)
        for old, new in combinations(self.checkpoints, 2):
            proof = reader.consistency_proof(old.size, new.size)
            verify_consistency(old.size, old.root, new.size, new.root, proof)


# The log alone: every step.


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int]]:
    """What writers left that died at each step, and the size that each had been told."""
    home = tmp_path_factory.mktemp("killed")
    with Log.open(home / "base" / "log", SIGNER) as log:
        log.append([b"%d" % number for number in range(BEFORE_A_TILE)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.dying_writers", home / "base", home / "lives", SIGNER.encode(), *"1111"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    assert {life["acknowledged"] for life in lives} == {0, 255, 256, 257}
    return [(Path(life["home"]), max(life["acknowledged"], BEFORE_A_TILE)) for life in lives]


def test_a_writer_killed_at_any_step_around_a_full_tile_loses_nothing_and_contradicts_nothing(
    killed: list[tuple[Path, int]],
) -> None:
    assert len(killed) >= 60
    for home, acknowledged in killed:
        seen = Seen(home / "log", SIGNER.verifier)
        seen.look()
        assert LogReader(home / "log", SIGNER.verifier).full_check().size >= acknowledged  # before anybody recovers it
        for size in (0, 300):
            with Log.open(home / "log", SIGNER) as log:
                log.append([b"%d" % (log.size + number) for number in range(size)])
            seen.look()
            reader = LogReader(home / "log", SIGNER.verifier)
            reader.full_check()
            assert list(reader.entries()) == [b"%d" % number for number in range(reader.size)]
        seen.check()


@pytest.mark.parametrize("file", ["log/checkpoint", "log.writer/committed"])
def test_a_file_that_says_less_than_was_published_is_not_believed(
    killed: list[tuple[Path, int]], tmp_path: Path, file: str
) -> None:
    """Somebody puts an old one back, or a disk without a journal does."""
    (base,) = {home.parent.parent / "base" for home, _ in killed}
    for home, acknowledged in killed:
        copy = tmp_path / home.name
        shutil.copytree(home, copy)
        seen = Seen(copy / "log", SIGNER.verifier)
        seen.look()
        shutil.copyfile(base / file, copy / file)
        with Log.open(copy / "log", SIGNER) as log:
            assert log.size >= max(acknowledged, seen.checkpoints[0].size)
            log.append([b"%d" % log.size])
        seen.look()
        seen.check()


# The whole service: where it matters most.


DEATHS: Final = (
    ("rename */evidence/*", 0, "before"),  # the evidence of a hand-over
    ("append */reports.jsonl", 1, "after"),  # its line; opening has written to the file once
    ("rename */evidence/*", 1, "after"),  # a manifest
    ("rename */log/tile/*", 0, "after"),  # staged in part
    ("rename */committed", 1, "before"),  # opening writes it once
    ("rename */committed", 1, "after"),
    ("rename */log/checkpoint", 1, "before"),
    ("rename */log/checkpoint", 1, "after"),
    ("append */grants.jsonl", 1, "after"),
)


class DyingLedger(LedgerPart):
    """A ledger that dies at the point `death`; None = it lives."""

    death: tuple[str, int, str] | None = None

    def _command(self) -> list[str | Path]:
        if self.death is None:
            return super()._command()
        return [sys.executable, "-m", "tests.faults.ledger_that_dies", "die", *map(str, self.death)]


class Evening:
    """A ledger that dies again and again, and somebody who hands over a window a minute and asks until answered."""

    def __init__(self, folder: Path) -> None:
        event_file = folder / "expo.toml"
        simulation = f"[simulation]\nstarts_at = {STARTS_AT}\n"
        event_file.write_text(EVENT_FILE.replace("T11:00", "T18:00") + simulation, encoding="utf-8")
        self.data = folder / "data"
        self.event = load_event_creating_keys(event_file, self.data / "development-issuer")
        self.ledger = DyingLedger(folder, event_file, self.data, NO_REDIS)
        self.window = WINDOW
        self.waiting: list[HandOver] = []
        self.granted: list[int] = []
        self.acknowledged: list[str] = []

    def start(self, death: tuple[str, int, str] | None) -> bool:
        """Start it; return whether it lived to serve."""
        self.ledger.death = death
        try:
            self.ledger.start()
        except AssertionError:
            assert death is not None
            assert not self.ledger.running
        return self.ledger.running

    def jump(self, windows: int) -> None:
        self.window += windows * WINDOW_S
        SimulatedClock(self.data / "clock").jump(self.window)

    def ask(self, path: str, body: bytes) -> Any:
        """Ask as a gateway does; None if no answer came."""
        headers = signed_headers(load_secrets(self.data / "secrets.json"), "POST", path, body)
        try:
            answer = self.ledger.ask("POST", path, body, headers)
        except (OSError, ValueError):  # refused, reset, or nothing where an answer should be
            return None
        assert answer.status == 200, answer
        return answer.json

    def play_minute(self) -> None:
        """Get seats, let the minute pass, hand it over with all that was not acknowledged before."""
        worker = f"{self.window:016x}"
        wish = {"worker": worker, "gateway": "g", "event_sha256": self.event.digest, "blocks": 1, "after": -1}
        wish["pseudonym_key_sha256"] = load_secrets(self.data / "secrets.json").pseudonym_commitment
        granted = self.ask(GRANT_PATH, json.dumps(wish).encode())
        segments: tuple[bytes, ...] = ()  # who got no answer has nobody to report
        if granted is not None:
            self.granted += granted["blocks"]
            segments = (presence(self.window, {self.window % 997, 5}, worker, "g", self.event),)
        report = WorkerReport(worker, self.window + WINDOW_S, ended=True)
        self.waiting.append(HandOver(self.event.digest, "g", self.window, (report,), segments))
        self.jump(1)
        self.hand_over()

    def hand_over(self) -> None:
        while self.waiting and self.ask(HAND_OVER_PATH, self.waiting[0].encode()) is not None:
            taken = self.waiting.pop(0)
            self.acknowledged += [hashlib.sha256(segment).hexdigest() for segment in taken.segments]


def test_a_ledger_killed_at_every_kind_of_step_keeps_what_it_acknowledged_and_enters_it_once(tmp_path: Path) -> None:
    evening = Evening(tmp_path)
    assert evening.start(None)
    verifier = Verifier.decode(evening.ledger.log_key)
    seen = Seen(evening.data / "log", verifier)
    with seen.looking():
        evening.jump(BEFORE_A_TILE - 5)  # leaf 0 and as many windows: the deaths lie on both sides of a full tile
        until(lambda: bool(seen.checkpoints) and seen.checkpoints[-1].size == BEFORE_A_TILE - 4, "they are sealed")
        evening.ledger.kill()
        for death in DEATHS:
            if evening.start(death):
                evening.hand_over()
                evening.play_minute()
            assert evening.ledger.wait() == -signal.SIGKILL, death
        assert evening.start(None)
        evening.hand_over()
        evening.play_minute()
        until(lambda: seen.checkpoints[-1].size == (evening.window - WINDOW) // WINDOW_S + 1, "everything is sealed")
        assert evening.ledger.stop() == 0
    assert evening.waiting == []
    assert seen.checkpoints[-1].size >= 257
    seen.check()
    assert len(set(evening.granted)) == len(evening.granted)
    reader = LogReader(evening.data / "log", verifier)
    reader.full_check()
    log = read_log(list(reader.entries()))
    named = Counter(
        file.sha256
        for leaf in read_evidence_of(log, EvidenceStore(evening.data / "evidence").get)
        for file in leaf.manifest.evidence
    )
    assert named == Counter(evening.acknowledged)
    assert len(evening.acknowledged) > 1
    assert not log.late
    assert [leaf.missing for leaf in log.windows.values() if leaf.missing] == []


# The roll, when the event is over.

IN_ITS_PLACE: Final = ("rename */roll/*", 1, "after")
"""The roll is whole and has its name, and is not in the log."""


def test_a_ledger_killed_while_it_seals_the_roll_seals_it_once_and_receipts_can_be_given(tmp_path: Path) -> None:
    evening = Evening(tmp_path)
    assert evening.start(None)
    evening.play_minute()
    assert evening.acknowledged
    evening.ledger.kill()
    SimulatedClock(evening.data / "clock").jump(evening.event.late_until.timestamp() + 5)
    evening.start(IN_ITS_PLACE)
    assert evening.ledger.wait() == -signal.SIGKILL
    rolls = evening.data / "roll"
    assert any(rolls.glob("*/leaves.bin"))
    assert evening.start(None)
    until(lambda: any(rolls.glob("*/minutes")), "receipts can be given")
    reader = LogReader(evening.data / "log", Verifier.decode(evening.ledger.log_key))
    assert evening.ledger.stop() == 0
    reader.full_check()
    (roll,) = read_log(list(reader.entries())).audits.rolls
    assert [path.name for path in rolls.iterdir()] == [str(roll.index)]
    named = {"entry.json", "entry.tlog-proof", "leaves.bin", "minutes", "nodes.bin", "seats.bin"}
    assert {path.name for path in (rolls / str(roll.index)).iterdir()} == named
