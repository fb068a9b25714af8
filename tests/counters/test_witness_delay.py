"""How soon after its end each window was cosigned, from the times that witnesses have signed and the ledger kept."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from counters.cosigned import cosigned_sizes, keep_cosigned
from counters.event import WitnessOfEvent
from counters.ledger.checkpoint import Checkpoint, sign_checkpoint
from counters.ledger.cosignature import cosign, with_cosignatures
from counters.ledger.merkle import leaf_hash, prefix_roots, tree_root
from counters.ledger.note import Signer
from counters.ledger.reader import LogReader
from counters.log_entries import WindowLeaf, read_log
from counters.trust_policy import TrustPolicy, policy_of
from counters.verify import Report, Verdict
from tests.counters.published import NEWS, OTHER_WITNESS, TOWN, WITNESS, Files, detail, plain_world, publish, results
from tests.counters.synthetic import SIGNER

NAMED = (WitnessOfEvent("news", WITNESS, "The Newspaper"), WitnessOfEvent("town", OTHER_WITNESS, "The Town"))
Line = tuple[Signer, int]
"""Who cosigns, and how many seconds after the end of the window that a state's last leaf is of."""


@dataclass(frozen=True)
class Log:
    """A published log whose clock was real, and its window leaves."""

    files: Files
    leaves: list[WindowLeaf]
    iso: list[str]
    entries: list[bytes]
    policy: TrustPolicy

    def cosigned(self, *states: tuple[int, list[Line]]) -> None:
        """Keep cosigned checkpoints that end with the window leaves of these numbers."""
        for number, lines in states:
            leaf = self.leaves[number]
            root = tree_root([leaf_hash(entry) for entry in self.entries[: leaf.index + 1]])
            checkpoint = Checkpoint(SIGNER.name, leaf.index + 1, root)
            end = leaf.window + 60
            cosignatures = [cosign(checkpoint.encode(), who, end + after) for who, after in lines]
            keep_cosigned(self.files.log_dir, with_cosignatures(sign_checkpoint(checkpoint, SIGNER), cosignatures))

    def report(self, policy: TrustPolicy | None = None) -> Report:
        return self.files.report(evidence_dir=None, policy=policy or self.policy)

    def said(self, policy: TrustPolicy | None = None) -> str:
        return detail(self.report(policy), "witness delay")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Log:
    world = plain_world(people=3, rules=("views",))
    world.event = replace(world.event, simulation=None, witnesses=NAMED)
    files = publish(world, tmp_path_factory.mktemp("real"))
    entries = list(LogReader(files.log_dir, SIGNER.verifier).entries())
    log = read_log(entries)
    leaves = [leaf for leaf in log.leaves if isinstance(leaf, WindowLeaf)]
    iso = [log.event.iso(leaf.window) for leaf in leaves]
    return Log(files, leaves, iso, entries, TrustPolicy.decode(policy_of(world.event, SIGNER.verifier)))


@pytest.fixture
def log(real: Log, tmp_path: Path) -> Log:
    folder = Path(shutil.copytree(real.files.log_dir, tmp_path / "log"))
    return replace(real, files=replace(real.files, log_dir=folder))


def test_the_largest_delay_is_printed_with_its_window_and_how_many_are_in_no_cosigned_state(log: Log) -> None:
    log.cosigned((0, [(NEWS, 9)]), (2, [(NEWS, 7)]), (3, [(NEWS, 30)]))
    # Window 1 has no state of its own: the one that ends with window 2, a minute later, is its first.
    assert f"{60 + 7} s, of the window {log.iso[1]}; {len(log.leaves) - 4} windows are in none" in log.said()
    assert "3 cosigned checkpoints, all of this history" in log.said()
    assert log.report().verdict is Verdict.HOLDS


def test_a_later_state_that_was_cosigned_first_dates_the_earlier_windows_too(log: Log) -> None:
    log.cosigned((0, [(NEWS, 500)]), (1, [(TOWN, 10)]))
    assert f"70 s, of the window {log.iso[0]}" in log.said()


def test_with_a_quorum_its_last_cosignature_counts_and_a_policy_chooses_whose(log: Log) -> None:
    log.cosigned((0, [(NEWS, 9), (TOWN, 21)]))
    assert "9 s, of the window" in log.said()
    keys = f"log {SIGNER.verifier.encode()}\nwitness n {WITNESS}\nwitness t {OTHER_WITNESS}\n"
    assert "21 s, of the window" in log.said(TrustPolicy.decode(f"{keys}group both all n t\nquorum both\n"))
    assert "21 s, of the window" in log.said(TrustPolicy.decode(f"{keys}quorum t\n"))


def test_without_cosignatures_that_count_nothing_is_said_and_nothing_was_asked(log: Log) -> None:
    stranger = Signer("witness.example/stranger", bytes([9] * 32))
    log.cosigned((0, [(stranger, 1)]))
    report = log.report()
    assert results(report)["witness delay"] is None
    assert report.verdict is Verdict.HOLDS
    assert "no checkpoint at hand has the cosignatures" in detail(report, "witness delay")


def test_what_is_kept_of_another_size_or_does_not_verify_fails(log: Log) -> None:
    log.cosigned((0, [(NEWS, 9)]))
    (size,) = cosigned_sizes(log.files.log_dir)
    path = log.files.log_dir / "cosigned" / f"{size}"
    note = path.read_bytes()
    path.rename(path.with_name(f"{size + 1}"))
    assert "is one of size" in log.said()
    assert [check.name for check in log.report().failed] == ["witness delay"]
    path.with_name(f"{size + 1}").unlink()
    path.write_bytes(note.replace(b"\n\n", b"\n\n\n"))
    assert log.report().failed
    path.write_bytes(note)
    assert not log.report().failed
    path.with_name("4711").write_bytes(sign_checkpoint(Checkpoint(SIGNER.name, 4711, bytes(32)), SIGNER))
    assert "this copy of the log is shorter" in log.said()


def test_on_a_simulated_clock_the_witnesses_times_say_nothing(tmp_path: Path) -> None:
    world = plain_world(people=3, rules=("views",))
    world.event = replace(world.event, witnesses=NAMED)
    files = publish(world, tmp_path)
    entries = list(LogReader(files.log_dir, SIGNER.verifier).entries())
    root = prefix_roots([leaf_hash(entry) for entry in entries], [3])[3]
    checkpoint = Checkpoint(SIGNER.name, 3, root)
    line = cosign(checkpoint.encode(), NEWS, 1_700_000_000)
    keep_cosigned(files.log_dir, with_cosignatures(sign_checkpoint(checkpoint, SIGNER), [line]))
    assert "the event's clock was SIMULATED" in detail(files.report(evidence_dir=None), "witness delay")


def test_prefix_roots_are_the_roots_of_the_first_leaves() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(70)]
    found = prefix_roots(leaves, range(-1, 80))
    assert found == {size: tree_root(leaves[:size]) for size in range(71)}


@pytest.mark.parametrize("taken", ["x", "required"])
def test_the_policy_that_a_ledger_writes_demands_what_entry_0_does(taken: str) -> None:
    event = plain_world(people=1).event
    assert TrustPolicy.decode(policy_of(event, SIGNER.verifier)).quorum == "none"
    named = (replace(NAMED[0], name=taken), NAMED[1])
    policy = TrustPolicy.decode(policy_of(replace(event, witnesses=named, required_witnesses=2), SIGNER.verifier))
    assert policy.logs == (SIGNER.verifier,)
    assert [policy.is_met({taken}), policy.is_met({taken, "town"})] == [False, True]
