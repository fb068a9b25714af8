"""Views, as sets of attendees: the same as counted row by row, whatever joins there are and however often."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from counters import views as views_module
from counters.evidence import JournalSegment, SegmentHead
from counters.journal import Assurance, Join, JoinKind
from counters.roll import read_roll
from counters.views import Views, ViewsReader
from tests.counters.synthetic import START, event_of

EVENT = event_of(random.Random(3))
HEAD = SegmentHead(EVENT.digest, "gw", START, EVENT.interval_s, ())
ATTENDEES = 6


def joins(rng: random.Random, count: int) -> Iterator[Join]:
    """Yield joins of few attendees and fewer views, around a midnight, some of unknown sessions or by badge."""
    for _ in range(count):
        seat = rng.randrange(1, ATTENDEES + 3)
        yield Join(
            seat=seat,
            session=rng.choice((1, 2, 3, 9)),
            kind=JoinKind.TICKET,
            assurance=Assurance.TICKETED,
            filters=0,
            view=rng.choice((0, *range(1, 20))),
            joined_at_ms=START * 1000 + rng.randrange(0, 300_000, 60_000),
            pseudonym=bytes((min(seat, ATTENDEES),)) * 16,  # the last ones are aliases
            token_digest=bytes(32),
            address=bytes(8),
            issuer="issuer-0",
            key_thumbprint="",
            country="",
            category="",
            outlet="",
            network="",
            agent="",
        )


def by_rows(rows: Sequence[Join], aliases: dict[int, int]) -> dict[tuple[int, int], tuple[int, str]]:
    """Return the attendee and the day of every (session, view), one after the other."""
    known = {session.number for session in EVENT.sessions}
    first: dict[tuple[int, int], Join] = {}
    for row in rows:
        key = row.session, row.view
        before = first.get(key)
        earlier = before is None or (row.joined_at_ms, row.seat) < (before.joined_at_ms, before.seat)
        if row.view and row.session in known and earlier:
            first[key] = row
    zone = EVENT.zone
    return {
        key: (
            aliases.get(row.seat, row.seat),
            datetime.fromtimestamp(row.joined_at_ms / 1000, UTC).astimezone(zone).date().isoformat(),
        )
        for key, row in first.items()
    }


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_views_are_those_that_are_found_row_by_row(seed: int, batch: int) -> None:
    rng = random.Random(seed)
    rows = list(joins(rng, 40))
    journals = [JournalSegment.of(HEAD, rows[at : at + 7]) for at in range(0, len(rows), 7)]
    roll = read_roll(EVENT, journals)
    aliases = dict(zip(roll.alias_seats.tolist(), roll.alias_of.tolist(), strict=True))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(views_module, "BATCH", batch)
        reader = ViewsReader(EVENT)
        for journal in rng.sample(journals, len(journals)):
            reader.add(journal)
        views = reader.build(roll)
    truth = by_rows(rows, aliases)
    some = BitMap(rng.sample(range(1, ATTENDEES + 1), 3))
    assert len(views) == len(truth)
    assert set(views.days) == {day for _, day in truth.values()}
    for session in (None, 1, 2, 3, 9):
        for day in (None, *views.days, "2001-01-01"):
            kept = [
                seat for (number, _), (seat, opened) in truth.items()
                if session in (None, number) and day in (None, opened)
            ]  # fmt: skip
            inside = sum(seat in some for seat in kept)
            assert views.count(session, day, None) == len(kept)
            assert views.count(session, day, some) == views.among(some).count(session, day, None) == inside
            assert views.without(some).count(session, day, None) == len(kept) - inside


def test_a_view_that_several_joins_name_is_its_earliest_join_s() -> None:
    (row,) = joins(random.Random(1), 1)
    row = replace(row, session=1, view=7)
    late = replace(row, seat=2, pseudonym=b"2" * 16, joined_at_ms=row.joined_at_ms + 1)
    reader = ViewsReader(EVENT)
    segment = JournalSegment.of(HEAD, [late, replace(row, seat=1, pseudonym=b"1" * 16)])
    reader.add(segment)
    views = reader.build(read_roll(EVENT, [segment]))
    assert (views.count(1, None, BitMap([1])), views.count(1, None, BitMap([2]))) == (1, 0)


def test_views_of_columns_are_those_in_them() -> None:
    seats, sessions = np.array([5, 5, 6], np.uint32), np.array([1, 1, 2], np.uint16)
    views = Views.of(seats, sessions, np.array(["2023-11-19", "2023-11-19", "2023-11-20"], "U10"))
    assert (len(views), views.count(1, None, None), views.count(None, "2023-11-20", BitMap([6]))) == (3, 2, 1)
