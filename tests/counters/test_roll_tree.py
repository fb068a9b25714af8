"""The roll: every attendee once, in order, whatever order the journals come in, and each leaf proven."""

import random
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from counters import roll_tree
from counters.evidence import JournalSegment, SegmentHead
from counters.journal import Assurance, Join, JoinKind
from counters.ledger.merkle import ProofError, leaf_hash, tree_root, verify_inclusion
from counters.roll import read_owners, read_roll
from counters.roll_leaf import LEAF_BYTES, NO_ISSUER, RollLeaf, short_digest
from counters.roll_sorting import RollSorter
from counters.roll_tree import RollTree, write_roll
from tests.counters.synthetic import event_of, world_of

EVENT = event_of(random.Random(3))
HEAD = SegmentHead(EVENT.digest, "gw-1", 0, 30, ())


def join(number: int, **changes: object) -> Join:
    """The ticket of person `number`, in the seat of that number."""
    made = Join(
        seat=number, session=1, kind=JoinKind.TICKET, assurance=Assurance.TICKETED, filters=0, view=number + 1,
        joined_at_ms=1000 + number, pseudonym=sha256(b"%d" % number).digest()[:16],
        token_digest=sha256(b"token %d" % number).digest(), address=bytes(8), issuer="issuer-1", key_thumbprint="k1",
        country="FR", category="visitor", outlet="", network="", agent="",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def tree_of(folder: Path, joins: list[Join], segments: int = 1, buffer_rows: int = 1 << 20) -> RollTree:
    sorter = RollSorter(EVENT, folder / "scratch", buffer_rows)
    sorter.add(JournalSegment.of(HEAD, joins[number::segments]) for number in range(segments))
    tree = write_roll(folder / "roll", sorter.leaves())
    assert not (folder / "scratch").exists()
    return tree


def leaves_of(tree: RollTree) -> list[RollLeaf]:
    return [RollLeaf.decode(tree.leaf(position)) for position in range(tree.size)]


def test_a_leaf_has_what_the_earliest_join_says(tmp_path: Path) -> None:
    earliest = join(70_000, category="staff")
    tree = tree_of(tmp_path, [join(70_000, joined_at_ms=99_000, country="KE"), earliest])
    (leaf,) = leaves_of(tree)
    assert leaf == RollLeaf(
        earliest.pseudonym, earliest.token_digest, short_digest("k1"), 71_000, bytes.fromhex("1562206543da7641"),
        bytes(8), 70_000, 1, b"FR",
    )  # fmt: skip
    raw = tree.leaf(0)
    assert raw[80:84].hex() == "70110100"
    assert raw[86:88].hex() == "4652"
    assert tree.root == leaf_hash(raw)


def test_guests_viewing_tokens_and_seats_of_guests_are_not_on_the_roll(tmp_path: Path) -> None:
    others = [
        join(1, assurance=Assurance.GUEST),
        join(2, seat=(1 << 31) + 2),
        join(3, kind=JoinKind.VIEWING_TOKEN, pseudonym=bytes(16)),
    ]
    tree = tree_of(tmp_path, [*others, join(4)])
    assert [leaf.seat for leaf in leaves_of(tree)] == [4]
    assert tree.find(1) is None
    assert tree.find((1 << 31) + 2) is None


def test_an_issuer_that_the_event_does_not_have_is_none_of_them(tmp_path: Path) -> None:
    assert leaves_of(tree_of(tmp_path, [join(1, issuer="gone")]))[0].issuer == NO_ISSUER


@pytest.mark.parametrize("people", [0, 1, 2, 255, 256, 257, 700])
def test_every_leaf_is_proven_and_found_by_seat_and_by_pseudonym(tmp_path: Path, people: int) -> None:
    joins = [join(number) for number in range(1, people + 1)]
    tree = tree_of(tmp_path, joins)
    raw = [tree.leaf(position) for position in range(tree.size)]
    assert raw == sorted(raw, key=lambda leaf: leaf[:16])
    assert tree.root == tree_root([leaf_hash(leaf) for leaf in raw])
    for one in random.Random(people).sample(joins, min(people, 40)):
        position, leaf, proof = tree.proof_of(one.seat)
        assert tree.proof_of(one.pseudonym) == (position, leaf, proof)
        assert leaf[:16] == one.pseudonym
        verify_inclusion(leaf_hash(leaf), position, tree.size, proof, tree.root)
    for stranger in (people + 1, bytes(16), b"\xff" * 16):
        with pytest.raises(KeyError):
            tree.proof_of(stranger)
    with pytest.raises(IndexError):
        tree.leaf(people)
    with pytest.raises(ProofError):
        tree.proof(people)


def test_an_attendee_with_several_seats_has_one_leaf_that_each_of_them_leads_to(tmp_path: Path) -> None:
    one = join(5, joined_at_ms=3000)
    joins = [one, replace(one, seat=9, joined_at_ms=2000), replace(one, seat=7, joined_at_ms=2000), join(6)]
    tree = tree_of(tmp_path, joins)
    assert tree.size == 2
    assert {leaf.seat for leaf in leaves_of(tree)} == {6, 7}
    assert len({tree.find(who) for who in (5, 7, 9, one.pseudonym)}) == 1


def test_a_seat_that_two_people_name_is_the_earlier_ones(tmp_path: Path) -> None:
    intruder = join(2, seat=1, joined_at_ms=999_999)
    tree = tree_of(tmp_path, [intruder, join(1)])
    assert [leaf.pseudonym for leaf in leaves_of(tree)] == [join(1).pseudonym]


def test_the_roll_has_whom_counting_counts_and_neither_order_nor_memory_changes_it(tmp_path: Path) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        world = world_of(rng, people=rng.randrange(12))
        # A few identical times, seats of others, and guests besides.
        joins = [replace(one, joined_at_ms=one.joined_at_ms // 20_000 * 2) for one in world.joins]
        joins += [replace(one, seat=rng.choice(joins).seat) for one in rng.sample(joins, len(joins) // 4)]
        joins += [
            replace(one, assurance=Assurance.GUEST, joined_at_ms=one.joined_at_ms + rng.choice((-1, 1)))
            for one in rng.sample(joins, len(joins) // 5)
        ]
        event, head = world.event, SegmentHead(world.event.digest, "gw-1", 0, 30, ())
        roots = set()
        for run in range(3):
            rng.shuffle(joins)
            segments = [JournalSegment.of(head, joins[number::4]) for number in range(4)]
            folder = tmp_path / f"{seed}-{run}"
            sorter = RollSorter(event, folder / "scratch", buffer_rows=(1 << 20, 7, 2)[run])
            sorter.add(segments)
            tree = write_roll(folder, sorter.leaves())
            roots.add(tree.root)
            owners, roll = read_owners(segments), read_roll(event, segments)
            counted = {
                (pseudonym.tobytes(), int(canonical))
                for pseudonym, canonical in zip(owners.pseudonyms, owners.canonical, strict=True)
                if canonical not in roll.guests
            }
            assert {(leaf.pseudonym, leaf.seat) for leaf in leaves_of(tree)} == counted, seed
        assert len(roots) == 1, seed


def test_processes_hash_what_one_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    path = tmp_path / "leaves.bin"
    path.write_bytes(rng.randbytes(3000 * LEAF_BYTES))
    alone = list(roll_tree.hash_leaves(path, 3000))
    assert len(alone) == 11
    monkeypatch.setattr(roll_tree, "PROCESSES_FROM", 0)
    monkeypatch.setattr(roll_tree, "PART", 1024)
    assert list(roll_tree.hash_leaves(path, 3000)) == alone


def test_a_roll_that_is_cut_short_is_not_opened(tmp_path: Path) -> None:
    tree_of(tmp_path, [join(number) for number in range(1, 600)])
    nodes = tmp_path / "roll" / "nodes.bin"
    nodes.write_bytes(nodes.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"nodes\.bin"):
        RollTree(tmp_path / "roll")
