"""The audit of the roll: what is bogus is found, with the probability that theory says, and what is genuine is not."""

import itertools
import random
from dataclasses import replace
from hashlib import sha256
from math import comb

import pytest

from counters.audit_check import AuditError, Cause, check_key, judge
from counters.audit_positions import positions, seed_of
from counters.beacon import Round
from counters.bogus_bound import bogus_at_most, in_words
from counters.ledger.merkle import ProofError, leaf_hash, subtree_of, tree_root
from counters.pruned_tree import prune, root_of
from counters.roll_leaf import short_digest
from counters.roll_opening import Opening, OpeningError, misplaced, open_leaves, signposts
from tests.counters.audited_roll import (
    EVENT,
    JOINED_AT,
    OTHER_KEY,
    PSEUDONYM_KEY,
    MadeRoll,
    identify,
    leaf,
    made,
    ticket,
)

SUBJECTS = [f"person-{number}" for number in range(60)]
GENUINE = made(SUBJECTS)


def causes(roll: MadeRoll, k: int = 10_000) -> dict[str, int]:
    return dict(roll.audited(k).causes)


# What is genuine, and what is bogus.


def test_a_roll_of_genuine_attendees_of_two_issuers_holds_and_every_leaf_was_judged() -> None:
    roll = made(SUBJECTS, [leaf("somebody", 1)], [ticket("somebody", 1)])
    judged = roll.audited(10_000)
    assert judged.bogus == ()
    assert sorted(judged.positions) == list(range(61))
    assert judged.in_words() == "All 61 entries of the roll were opened, and none was bogus."


@pytest.mark.parametrize(
    ("bogus", "opened", "cause"),
    [
        (leaf("nobody", opened=b"never signed"), None, Cause.NO_TICKET),
        (leaf("a", opened=ticket("a", key=OTHER_KEY)), ticket("a", key=OTHER_KEY), Cause.REFUSED),
        (leaf("a", opened=ticket("a", aud="another event")), ticket("a", aud="another event"), Cause.REFUSED),
        (leaf("a", opened=ticket("a", iss="https://stranger")), ticket("a", iss="https://stranger"), Cause.REFUSED),
        (leaf("a", opened=ticket("a", exp=JOINED_AT - 61)), ticket("a", exp=JOINED_AT - 61), Cause.REFUSED),
        (leaf("nobody", opened=ticket("person-7")), ticket("person-7"), Cause.SOMEBODY_ELSE),
        (leaf("a", issuer=b"\1\0"), ticket("a"), Cause.ATTRIBUTES),
        (leaf("a", key=b"no such k"[:8]), ticket("a"), Cause.ATTRIBUTES),
        (leaf("a", country=b"KE"), ticket("a"), Cause.ATTRIBUTES),
        (leaf("a", category=bytes(7) + b"\1"), ticket("a"), Cause.ATTRIBUTES),
        (leaf("a", opened=ticket("a", site="news")), ticket("a", site="news"), Cause.ATTRIBUTES),
    ],
)
def test_a_bogus_leaf_is_found_and_nobody_else_is_accused(bogus: bytes, opened: bytes | None, cause: str) -> None:
    roll = made(SUBJECTS, [bogus], [] if opened is None else [opened])
    judged = roll.audited(10_000)
    assert [(each.position, each.cause) for each in judged.bogus] == [(list(roll.leaves).index(bogus), cause)]


def test_a_leaf_whose_ticket_is_another_than_it_commits_to_is_bogus() -> None:
    draw = GENUINE.draw(60, bytes(32))
    opening = GENUINE.opening(draw)
    swapped = replace(opening, tokens=dict(opening.tokens) | {17: opening.tokens[18]})
    judged = judge(EVENT, draw, swapped, PSEUDONYM_KEY, identify)
    assert [(each.position, each.cause) for each in judged.bogus] == [(17, Cause.OTHER_TICKET)]


def test_one_genuine_ticket_makes_one_leaf_genuine_however_often_it_is_opened() -> None:
    """Forty leaves of invented pseudonyms, every one opened with the same attendee's ticket."""
    stuffed = [leaf(f"invented-{number}", opened=ticket("person-7")) for number in range(40)]
    assert causes(made(SUBJECTS, stuffed)) == {Cause.SOMEBODY_ELSE: 40}


def test_people_who_stand_on_the_roll_twice_are_found_wherever_their_second_leaves_stand() -> None:
    """Beside the first, in a second ascending list, at the end backwards, and anywhere."""
    twice = [leaf(subject, seat=b"\1\0\0\0") for subject in SUBJECTS[:30]]
    rng = random.Random(1)
    shuffled = [*GENUINE.leaves, *twice]
    rng.shuffle(shuffled)
    for arranged in (
        sorted([*GENUINE.leaves, *twice]),
        [*GENUINE.leaves, *sorted(twice)],
        [*GENUINE.leaves, *sorted(twice, reverse=True)],
        shuffled,
    ):
        found = causes(MadeRoll(arranged, GENUINE.tickets))
        assert set(found) == {Cause.MISPLACED}
        assert found[Cause.MISPLACED] >= 30


def test_leaves_in_their_places_are_different_people_however_the_roll_is_arranged() -> None:
    """The claim that the bound rests on, over every arrangement of a few names and many random ones of more."""
    rng = random.Random(2)
    arranged = [list(names) for n in range(1, 6) for names in itertools.product(range(4), repeat=n)]
    arranged += [[rng.randrange(size) for _ in range(size)] for size in [rng.randrange(2, 60) for _ in range(400)]]
    arranged += [list(range(40)) * 2, [*range(30), *range(29, -1, -1)]]
    for names in arranged:
        leaves = {place: name.to_bytes(16, "big") + bytes(72) for place, name in enumerate(names)}
        placed = [names[place] for place in leaves if not misplaced(place, len(names), leaves)]
        assert placed == sorted(set(placed)), names
    twice = {place: name.to_bytes(16, "big") for place, name in enumerate([0, 1, 2, 2])}
    assert "has leaf 2 as well" in misplaced(3, 4, twice)
    assert "has leaf 3 as well" in misplaced(2, 4, twice)
    in_order = {place: place.to_bytes(16, "big") for place in range(77)}
    assert not any(misplaced(place, 77, in_order) for place in in_order)


def test_an_outlet_that_only_the_player_named_is_nothing_that_a_ticket_bears_out() -> None:
    named = ticket("b", site="news")
    leaves = [leaf("a", outlet=short_digest("somewhere")), leaf("b", opened=named, outlet=short_digest("news"))]
    assert made(SUBJECTS, leaves, [ticket("a"), named]).audited(10_000).bogus == ()


# An opening is of the roll whose root is in the log, or it is nothing.


def test_a_roll_that_was_changed_after_the_beacon_is_not_the_one_that_was_drawn_from() -> None:
    draw = GENUINE.draw(20, bytes(32))
    changed = made(SUBJECTS[:-1], [leaf("a late friend")], [ticket("a late friend")])
    opening = replace(changed.opening(replace(draw, roll=replace(draw.roll, root=changed.root))), draw=draw.index)
    with pytest.raises(AuditError, match=r"not opened|root is in the log"):
        judge(EVENT, draw, opening, PSEUDONYM_KEY, identify)
    everything = open_leaves(changed, range(60))  # type: ignore[arg-type]
    with pytest.raises(AuditError, match="root is in the log"):
        judge(EVENT, draw, replace(opening, leaves=everything[0], hashes=everything[1]), PSEUDONYM_KEY, identify)


def test_what_is_opened_of_another_event_or_draw_or_without_what_was_drawn_is_refused() -> None:
    roll = made([f"person-{number}" for number in range(400)])
    draw = roll.draw(5, b"\7" * 32)
    opening = roll.opening(draw)
    assert judge(EVENT, draw, opening, PSEUDONYM_KEY, identify).bogus == ()

    def without(position: int) -> Opening:
        kept = {place: each for place, each in opening.leaves.items() if place != position}
        return replace(opening, leaves=kept, hashes=prune(roll.size, sorted(kept), roll.subtree))

    drawn = draw.positions()
    post = next(each for each in signposts(drawn[0], roll.size) if each not in drawn)
    for wrong, words in (
        (replace(opening, draw=7), "another event or draw"),
        (replace(opening, event_sha256="ab" * 32), "another event or draw"),
        (without(drawn[2]), f"as leaf {drawn[2]}"),
        (without(post), f"signpost, leaf {post}"),
        (replace(opening, hashes=opening.hashes[:-1]), "fewer hashes"),
        (replace(opening, hashes=[*opening.hashes, bytes(32)]), "more hashes"),
        (replace(opening, leaves=dict(opening.leaves) | {400: bytes(88)}), "has no leaf 400"),
        (replace(opening, leaves=dict(opening.leaves) | {drawn[0]: bytes(87)}), "another length"),
    ):
        with pytest.raises(AuditError, match=words):
            judge(EVENT, draw, wrong, PSEUDONYM_KEY, identify)


def test_an_opening_with_any_byte_changed_is_refused_or_finds_no_more_genuine_leaves() -> None:
    roll = made(SUBJECTS[:6], [leaf("nobody", opened=b"-")])
    draw = roll.draw(3, b"\1" * 32)
    whole = roll.opening(draw).encode()
    before = len(judge(EVENT, draw, Opening.decode(whole), PSEUDONYM_KEY, identify).bogus)
    changed = 0
    for at in range(0, len(whole), 3):
        raw = bytearray(whole)
        raw[at] ^= 1
        try:
            opening = Opening.decode(bytes(raw))
            judged = judge(EVENT, draw, opening, PSEUDONYM_KEY, identify)
        except (OpeningError, AuditError):
            changed += 1
            continue
        assert len(judged.bogus) >= before
        assert len(judged.positions) == 3
    assert changed > len(whole) / 6


def test_another_pseudonym_key_than_entry_0_commits_to_is_refused() -> None:
    entry = {"pseudonym_key_sha256": sha256(b"turnout pseudonym key\0" + PSEUDONYM_KEY).hexdigest()}
    check_key(PSEUDONYM_KEY, entry)
    with pytest.raises(AuditError, match="not the pseudonym key"):
        check_key(bytes(32), entry)


# Positions.


def test_positions_are_those_of_the_worked_example() -> None:
    seed = seed_of(b"\x11" * 32, 10, Round("test", 7, 0), b"\x22" * 32)
    assert seed.hex() == "a85ce90af3c2919e1a20cd977d859ff79cd36433eba274fdac6ed6d73935fbfa"
    assert positions(seed, 10, 4) == [4, 9, 1, 3]
    assert sorted(positions(seed, 10, 99)) == list(range(10))
    assert positions(seed, 0, 3) == []


def test_anything_that_positions_follow_from_changes_them() -> None:
    given = (b"\x11" * 32, 10, Round("test", 7, 0), b"\x22" * 32)
    other = (b"\x12" * 32, 11, Round("test", 8, 0), b"\x22" * 31)
    seeds = {seed_of(*given)}
    seeds |= {seed_of(*[other[n] if n == at else given[n] for n in range(4)]) for at in range(4)}  # type: ignore[arg-type]
    seeds.add(seed_of(given[0], 10, Round("tess", 7, 0), given[3]))
    assert len(seeds) == 6


def test_every_set_of_positions_is_as_likely_as_any_other() -> None:
    """Chi-squared over the 20 sets of 3 of 6, 4,000 draws: 19 degrees of freedom, 43.8 is exceeded 1 time in 1,000."""
    counts: dict[tuple[int, ...], int] = {}
    for number in range(4000):
        drawn = positions(seed_of(bytes(32), 6, Round("test", 1, 0), number.to_bytes(16, "big")), 6, 3)
        counts[tuple(sorted(drawn))] = counts.get(tuple(sorted(drawn)), 0) + 1
    assert len(counts) == comb(6, 3)
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 43.8


# The bound.


def chance_of_at_most(size: int, among: int, drawn: int, found: int) -> float:
    ways = sum(comb(among, i) * comb(size - among, drawn - i) for i in range(min(found, drawn) + 1))
    return ways / comb(size, drawn)


def test_the_bound_is_the_most_that_a_twentieth_of_audits_would_still_find_so_few_of() -> None:
    for size, drawn in itertools.product(range(1, 16), repeat=2):
        for found in range(drawn + 1) if drawn <= size else ():
            bound = bogus_at_most(size, drawn, found)
            likely = [
                m for m in range(found, size - drawn + found + 1) if chance_of_at_most(size, m, drawn, found) >= 0.05
            ]
            assert bound == max(likely), (size, drawn, found)


def test_three_thousand_leaves_of_forty_million_without_a_bogus_one_bound_them_below_a_thousandth() -> None:
    assert bogus_at_most(40_000_000, 3000, 0) == 39_921
    assert in_words(40_000_000, 3000, 0) == (
        "3,000 of the roll's 40,000,000 entries were drawn by lot and opened, and none was bogus. If more than 39,921 "
        "entries (0.0998 %) were bogus, an audit like this would find so few less than once in 20 times (95 % "
        "confidence)."
    )
    assert "and 1 was bogus" in in_words(1000, 10, 1)


def likelihood(draws: int, chance: float, caught: int) -> float:
    """The probability of a number of catches as far off as this, or farther, on its side."""
    terms = [comb(draws, n) * chance**n * (1 - chance) ** (draws - n) for n in range(draws + 1)]
    return min(sum(terms[: caught + 1]), sum(terms[caught:]))


@pytest.mark.parametrize(("bogus", "k"), [(1, 300), (5, 100), (10, 60), (50, 20)])
def test_stuffing_of_a_thousandth_to_a_twentieth_is_caught_as_often_as_theory_says(bogus: int, k: int) -> None:
    """1,000 leaves, 200 draws; a difference from theory that chance makes once in 100,000 times fails (fixed seeds)."""
    roll = made(
        [f"person-{number}" for number in range(1000 - bogus)],
        [leaf(f"invented-{number}", opened=b"%d" % number) for number in range(bogus)],
    )
    whole = replace(roll.opening(roll.draw(1000, bytes(32))))
    draws = 200
    found = []
    for number in range(draws):
        draw = roll.draw(k, sha256(b"%d %d" % (bogus, number)).digest())
        found.append(len(judge(EVENT, draw, whole, PSEUDONYM_KEY, identify).bogus))
    chance = 1 - chance_of_at_most(1000, bogus, k, 0)
    caught = sum(each > 0 for each in found)
    assert likelihood(draws, chance, caught) > 1e-5, (caught, chance * draws)
    # And what a clean audit would have claimed is false only where fewer than a twentieth of audits are clean.
    if chance > 0.95:
        assert bogus > bogus_at_most(1000, k, 0)
    # The bound of what was found holds in at least 95 % of draws, as it says.
    right = sum(bogus_at_most(1000, k, each) >= bogus for each in found)
    assert likelihood(draws, 0.95, right) > 1e-5 or right > 0.95 * draws


# Many leaves proven at once.


def test_many_leaves_are_proven_at_once_and_nothing_else_is() -> None:
    rng = random.Random(3)
    for size in [1, 2, 3, 5, 8, 33, 100]:
        raw = [bytes([number]) * 5 for number in range(size)]
        subtree = subtree_of([leaf_hash(each) for each in raw])
        root = tree_root([leaf_hash(each) for each in raw])
        for _ in range(20):
            some = sorted(rng.sample(range(size), rng.randrange(size + 1)))
            hashes = prune(size, some, subtree)
            leaves = {place: raw[place] for place in some}
            assert root_of(size, leaves, hashes) == root
            for place in some[:1]:
                assert root_of(size, leaves | {place: b"other"}, hashes) != root
    assert prune(5, [0, 1], subtree_of([leaf_hash(b"%d" % n) for n in range(5)])) == [
        subtree_of([leaf_hash(b"%d" % n) for n in range(5)])(1, 1),
        leaf_hash(b"4"),
    ]
    for leaves in ({5: b""}, {-1: b""}):
        with pytest.raises(ProofError, match="has no leaf"):
            root_of(5, leaves, [])
    assert root_of(0, {}, []) == tree_root([])
