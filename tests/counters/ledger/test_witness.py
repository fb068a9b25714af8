"""A witness: every rule of tlog-witness with a request that breaks it, forks kept as proof, and every crash."""

import contextlib
import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.disk import DISK, Disk
from counters.ledger import merkle
from counters.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counters.ledger.cosignature import cosignatures, cosigned_at, witness_key
from counters.ledger.note import Signer, sign_note
from counters.ledger.witness import KEPT_LIMIT, Witness, WitnessStateError
from counters.ledger.witness_protocol import AddCheckpoint, RequestError, Verdict
from tests.counters.fragile_disk import CrashError, FaultyDisk, FragileDisk, listing

LOG = Signer("log.example/expo", bytes(range(32)))
OTHER = Signer("log.example/other", bytes(range(1, 33)))
SIGNER = Signer("witness.example/news", bytes(range(2, 34)))
NOW = 1_700_000_000


class Tree:
    """A log's tree in memory; two with the same `history` begin alike."""

    def __init__(self, *history: str, signer: Signer = LOG) -> None:
        self.leaves = [merkle.leaf_hash(text.encode()) for text in history]
        self.signer = signer

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.signer.name, size, merkle.tree_root(self.leaves[:size]))

    def note(self, size: int) -> bytes:
        return sign_checkpoint(self.checkpoint(size), self.signer)

    def request(self, old: int, size: int) -> AddCheckpoint:
        proof = merkle.consistency_proof(old, size, merkle.subtree_of(self.leaves)) if old <= size else ()
        return AddCheckpoint(old, proof, self.note(size))


MAIN = Tree(*map(str, range(300)))
FORK = Tree(*map(str, range(200)), *(f"other {number}" for number in range(100)))


def trusted(origin: str) -> list[object]:
    return [LOG.verifier] if origin == LOG.name else []


def witness_in(folder: Path, disk: Disk = DISK) -> Witness:
    return Witness(folder, SIGNER, trusted, disk=disk)  # type: ignore[arg-type]


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    with witness_in(tmp_path / "witness") as opened:
        yield opened


def add(witness: Witness, tree: Tree, old: int, size: int) -> tuple[Verdict, str]:
    answer = witness.add_checkpoint(tree.request(old, size).encode(), NOW)
    return answer.verdict, answer.body


def verdict(witness: Witness, request: AddCheckpoint) -> Verdict:
    return witness.add_checkpoint(request.encode(), NOW).verdict


def test_the_specifications_example_request_reads() -> None:
    body = (
        "old 20852014\n"
        "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
        "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
        "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
        "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
        "\n"
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    ).encode()
    request = AddCheckpoint.decode(body)
    assert (request.old, len(request.proof), request.proof[0][:2].hex()) == (20852014, 4, "3e54")
    assert request.note.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert request.encode() == body


@pytest.mark.parametrize(
    "body",
    [
        b"", b"old 0", b"old 0\n", b"old 00\n\nx", b"old -1\n\nx", b"new 0\n\nx", b"0\n\nx", b"old  0\n\nx",
        b"old 0\nnot base64\n\nx", b"old 0\nAAAA\n\nx", b"old 0\n\xff\n\nx", b"old 0\r\n\r\nx",
        b"old 0\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63 + b"\nx",
    ],
)  # fmt: skip
def test_what_is_no_request_is_malformed(witness: Witness, body: bytes) -> None:
    with pytest.raises(RequestError):
        AddCheckpoint.decode(body)
    assert witness.add_checkpoint(body, NOW).verdict is Verdict.MALFORMED


@given(st.binary(max_size=300))
def test_reading_a_request_is_total(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert AddCheckpoint.decode(body).encode() == body


def test_a_log_that_grows_is_cosigned_at_every_step(witness: Witness) -> None:
    before = 0
    for size in (1, 2, 2, 3, 200, 255, 256, 257, 300):
        answer, line = add(witness, MAIN, before, size)
        assert answer is Verdict.COSIGNED, line
        note = MAIN.note(size) + line.encode()
        ((key, signature),) = cosignatures(note, [witness_key(SIGNER)]).items()
        assert (key, cosigned_at(signature.signature)) == (witness_key(SIGNER), NOW)
        assert open_checkpoint(note, LOG.verifier) == MAIN.checkpoint(size)
        before = size
    assert witness.sizes == {LOG.name: 300}


def test_an_empty_log_is_cosigned_and_then_grows(witness: Witness) -> None:
    assert add(witness, MAIN, 0, 0)[0] is Verdict.COSIGNED
    assert add(witness, MAIN, 0, 5)[0] is Verdict.COSIGNED
    assert add(witness, MAIN, 0, 0) == (Verdict.CONFLICT, "5\n")
    wrong_root = sign_note(f"{LOG.name}\n0\n{'A' * 43}=\n", [LOG])
    assert verdict(witness, AddCheckpoint(0, (), wrong_root)) is Verdict.INCONSISTENT


def test_a_log_that_does_not_know_the_size_is_told_it(witness: Witness) -> None:
    assert add(witness, MAIN, 0, 200)[0] is Verdict.COSIGNED
    for old, size in ((0, 250), (199, 250), (100, 100), (201, 250), (0, 0)):
        assert add(witness, MAIN, old, size) == (Verdict.CONFLICT, "200\n"), (old, size)
    assert add(witness, MAIN, 200, 250)[0] is Verdict.COSIGNED


def test_an_older_checkpoint_is_never_cosigned_again(witness: Witness) -> None:
    add(witness, MAIN, 0, 200)
    add(witness, MAIN, 200, 250)
    assert add(witness, MAIN, 200, 200) == (Verdict.CONFLICT, "250\n")
    assert verdict(witness, AddCheckpoint(250, (), MAIN.note(200))) is Verdict.MALFORMED
    assert witness.sizes == {LOG.name: 250}


def test_signatures_that_are_not_the_logs_are_not_enough(witness: Witness) -> None:
    forged = Signer(LOG.name, bytes(32))
    unknown = Tree("a", signer=OTHER)
    text = MAIN.checkpoint(5).encode()
    assert verdict(witness, AddCheckpoint(0, (), sign_note(text, [forged]))) is Verdict.UNTRUSTED
    assert verdict(witness, AddCheckpoint(0, (), sign_note(text, [OTHER]))) is Verdict.UNTRUSTED
    assert verdict(witness, unknown.request(0, 1)) is Verdict.UNKNOWN_LOG
    assert verdict(witness, AddCheckpoint(0, (), sign_note(text, [OTHER, LOG]))) is Verdict.COSIGNED
    changed = MAIN.note(6).replace(b"\n6\n", b"\n7\n")
    assert verdict(witness, AddCheckpoint(5, (), changed)) is Verdict.UNTRUSTED
    extended = sign_note(text + "an extension\n", [LOG])
    assert verdict(witness, AddCheckpoint(5, (), extended)) is Verdict.MALFORMED
    assert witness.sizes == {LOG.name: 5}


def test_a_wrong_proof_is_refused_and_the_checkpoint_kept(witness: Witness, tmp_path: Path) -> None:
    add(witness, MAIN, 0, 200)
    good = MAIN.request(200, 250)
    for proof in ((), good.proof[:-1], (*good.proof, bytes(32)), (bytes(32), *good.proof[1:])):
        assert verdict(witness, AddCheckpoint(200, proof, good.note)) is Verdict.INCONSISTENT
    assert verdict(witness, AddCheckpoint(200, (bytes(32),), MAIN.note(200))) is Verdict.INCONSISTENT
    assert verdict(witness, good) is Verdict.COSIGNED
    kept = sorted(path.name.split("-")[1] for path in (tmp_path / "witness" / "misbehaviour").rglob("unproven-*"))
    assert kept == ["200", "250"]


def test_a_first_checkpoint_comes_without_a_proof(witness: Witness) -> None:
    assert verdict(witness, AddCheckpoint(0, (bytes(32),), MAIN.note(5))) is Verdict.INCONSISTENT
    assert witness.sizes == {}


@pytest.mark.parametrize(("old", "expected"), [(250, Verdict.INCONSISTENT), (0, Verdict.CONFLICT)])
def test_another_root_of_the_same_size_is_refused_and_both_are_kept(
    witness: Witness, tmp_path: Path, caplog: pytest.LogCaptureFixture, old: int, expected: Verdict
) -> None:
    add(witness, MAIN, 0, 200)
    add(witness, MAIN, 200, 250)
    assert verdict(witness, AddCheckpoint(old, (), FORK.note(250))) is expected
    assert "SPLIT VIEW" in caplog.text
    kept = [path.read_bytes() for path in (tmp_path / "witness" / "misbehaviour").rglob("split-view-250-*")]
    roots = {open_checkpoint(note, LOG.verifier).root for note in kept}
    assert roots == {MAIN.checkpoint(250).root, FORK.checkpoint(250).root}, "two signed roots, for anybody to see"
    assert add(witness, MAIN, 250, 251)[0] is Verdict.COSIGNED, "the history that it knows goes on"


def test_a_fork_that_has_grown_is_refused_whatever_it_proves(witness: Witness) -> None:
    add(witness, MAIN, 0, 200)
    add(witness, MAIN, 200, 250)
    assert add(witness, FORK, 200, 290) == (Verdict.CONFLICT, "250\n")
    assert add(witness, FORK, 250, 290)[0] is Verdict.INCONSISTENT
    assert witness.sizes == {LOG.name: 250}


def test_what_is_kept_of_forks_does_not_fill_the_disk(witness: Witness, tmp_path: Path) -> None:
    add(witness, MAIN, 0, 1)
    for number in range(KEPT_LIMIT + 5):
        assert verdict(witness, Tree(f"fork {number}").request(1, 1)) is Verdict.INCONSISTENT
    assert len(list((tmp_path / "witness" / "misbehaviour").rglob("split-view-*"))) == KEPT_LIMIT


def test_what_was_cosigned_is_known_after_a_restart(tmp_path: Path) -> None:
    with witness_in(tmp_path) as first:
        add(first, MAIN, 0, 200)
    with witness_in(tmp_path) as second:
        assert second.sizes == {LOG.name: 200}
        assert add(second, FORK, 0, 250) == (Verdict.CONFLICT, "200\n")


def test_a_second_witness_on_the_same_folder_is_refused(witness: Witness, tmp_path: Path) -> None:
    assert witness.sizes == {}
    with pytest.raises(WitnessStateError, match="stop that one first"):
        witness_in(tmp_path / "witness")


@pytest.mark.parametrize("damage", [b"", b"junk", MAIN.note(200)[:60], Tree("x", signer=OTHER).note(1)])
def test_a_witness_that_cannot_read_what_it_cosigned_does_not_start(tmp_path: Path, damage: bytes) -> None:
    with witness_in(tmp_path) as first:
        add(first, MAIN, 0, 200)
    (path,) = (tmp_path / "logs").glob("*/checkpoint")
    path.write_bytes(damage)
    with pytest.raises(WitnessStateError, match="restore it"):
        witness_in(tmp_path)


def test_a_disk_that_refuses_means_no_cosignature(tmp_path: Path) -> None:
    def refuse() -> None:
        raise OSError(28, "No space left on device")

    for step in itertools.count():
        folder = tmp_path / str(step)
        with witness_in(folder) as begun:
            add(begun, MAIN, 0, 200)
        disk = FaultyDisk(fault=refuse)  # type: ignore[arg-type]
        with witness_in(folder, disk) as witness:
            disk.fail_at = disk.steps + step
            try:
                answer = add(witness, MAIN, 200, 250)[0]
            except OSError:
                assert add(witness, MAIN, 200, 260)[0] is Verdict.COSIGNED, (
                    "the next one goes on from what was cosigned"
                )
            else:
                assert answer is Verdict.COSIGNED
                break
    assert step >= 3


REQUESTS = ((MAIN, 0, 200), (MAIN, 200, 250), (FORK, 200, 250), (FORK, 250, 260), (MAIN, 250, 300), (FORK, 250, 300))
"""What is asked over and over: one history, and another that forks from it at 200."""


def ask_all(witness: Witness, said: dict[int, bytes], order: random.Random, count: int = 8) -> None:
    """Send requests, and note every root that was cosigned, which must be the only one of its size, and the largest."""
    for tree, old, size in (order.choice(REQUESTS) for _ in range(count)):
        body = tree.request(old, size)
        answer = witness.add_checkpoint(body.encode(), NOW)
        if answer.verdict is Verdict.CONFLICT and int(answer.body) <= size:
            answer = witness.add_checkpoint(tree.request(int(answer.body), size).encode(), NOW)
        if answer.verdict is Verdict.COSIGNED:
            assert said.setdefault(size, tree.checkpoint(size).root) == tree.checkpoint(size).root
            assert size == max(said), "no smaller tree after a larger one"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("power_loss", [False, True])
def test_no_two_roots_are_cosigned_for_one_size_whatever_crashes(
    tmp_path: Path, *, after: bool, power_loss: bool
) -> None:
    """Killed, or without power, before or after each step of its disk, several times on one state."""
    crashes = 0
    for crash_at in range(20):
        order = random.Random(crash_at)
        said: dict[int, bytes] = {}
        folder = tmp_path / f"{crash_at}-0"
        folder.mkdir()
        for life in range(4):
            disk = FragileDisk(fail_at=crash_at, after=after)
            # What an earlier life left is durable by now.
            disk.durable = {path: listing(path) for path in (folder, *folder.rglob("*")) if path.is_dir()}
            try:
                with witness_in(folder, disk) as witness:
                    ask_all(witness, said, order)
            except CrashError:
                crashes += 1
            if power_loss:
                target = tmp_path / f"{crash_at}-{life + 1}"
                disk.after_power_loss(folder, target, lambda: order.random() < 0.5)  # noqa: B023 - called at once
                folder = target
        with witness_in(folder) as last:
            ask_all(last, said, order, 30)
            assert last.sizes == {LOG.name: 300}
    assert crashes > 20, "the steps were met"


def test_two_requests_at_once_are_compared_and_kept_one_after_the_other(witness: Witness) -> None:
    """From 200 either history may go on; the one that does is the only one, whichever thread was first."""
    add(witness, MAIN, 0, 200)
    asked = [(tree, 200, size) for size in range(201, 260) for tree in (MAIN, FORK)]
    random.Random(1).shuffle(asked)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda request: add(witness, *request), asked))
    cosigned = [request for request, (answer, _) in zip(asked, answers, strict=True) if answer is Verdict.COSIGNED]
    assert len(cosigned) == 1
    assert witness.sizes == {LOG.name: cosigned[0][2]}
