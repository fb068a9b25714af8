"""The waterfall from gross to net: all joins and everybody present, what is taken out and why, and what is left.

Rows add up, people and views each: gross, minus invalid traffic reason by reason (MRC's words: general invalid traffic,
GIVT, before sophisticated, SIVT), minus excluded categories, is net; and net is what `unique-attendees` and `views`
count. Whoever falls under several goes under the first. People are ticketed, and of several namespaces counted each by
itself (counters.namespaces): guests are devices and stand apart, but for their views, which are among all views as
everywhere else. What was refused at the door was never let in, and is
counted apart; so are flags that the event does not act on, and revocations, which end what comes after them.
"""

import json
from collections import Counter
from typing import Any, Final

from pyroaring import BitMap

from counters.attendance import Attendance
from counters.invalid_traffic import REASONS, TrafficReason
from counters.log_entries import SealedLog
from counters.namespaces import Figure, figure, parts
from counters.window_leaf import FIRST_GUEST_SEAT, SEATS_END

STATEMENT: Final = (
    "All joins, minus invalid traffic by reason, minus excluded categories. General invalid traffic (GIVT) is found by "
    "lists and parameters, sophisticated (SIVT) by a closer look. A view is taken out if the join that opened it is "
    "invalid, a person if all of their joins are: somebody with one sound join counts, with all their presence. Guests "
    "are devices, in no number of people; their views are among the views."
)
REVOKED: Final = (
    "In force at the end. Whoever is revoked is turned away from then on, and is refused at the door; what was counted "
    "before stays counted."
)
CATEGORY: Final = "category"
OTHERS: Final = "other categories"
"""Categories of few people, together: by itself none of them may be shown."""


def waterfall(attendance: Attendance, log: SealedLog) -> dict[str, Any]:
    """Return the certificate's member `waterfall`; `log` says what was refused and revoked."""
    event, roll = attendance.event, attendance.roll
    present, net = (presence.within(None, None, None) for presence in (attendance.gross, attendance.net))
    guests = BitMap(roll.guests)
    guests.add_range(FIRST_GUEST_SEAT, SEATS_END)
    left = present - guests
    rows = [_row("gross", None, None, _figure(attendance, left), len(attendance.gross_views))]
    for reason in REASONS:
        if reason.id in event.counting.exclude_traffic:
            people = left & roll.invalid.get(reason.id, BitMap())
            views = attendance.invalid_views.get(reason.id, 0)
            rows.append(_row("minus", reason.id, reason.kind, _figure(attendance, people), views))
            left = left - people
    rows += _categories(attendance, left)
    rows.append(_row("net", None, None, _figure(attendance, net), len(attendance.net_views)))
    return {
        "statement": STATEMENT,
        "rows": rows,
        **refused_of(log),
        "flagged": [_flagged(attendance, reason) for reason in REASONS],
        "revoked": revoked_of(log),
        "guests": {
            "devices": present.intersection_cardinality(guests),
            "views": attendance.gross_views.count(None, None, guests),
        },
    }


def _figure(attendance: Attendance, people: BitMap) -> Figure:
    return figure(attendance.event, attendance.roll.namespaces, people)


def _row(step: str, reason: str | None, kind: str | None, people: Figure, views: int) -> dict[str, Any]:
    return {"step": step, "reason": reason, "kind": kind, "people": people, "views": views}


def _categories(attendance: Attendance, left: BitMap) -> list[dict[str, Any]]:
    """Return a row for each excluded category, those of few people or views together in one.

    One of them alone would be told by that row, and so would few in all: then the smallest others join them. Where
    there are none, it is all that is excluded, which gross and net tell.
    """
    below = attendance.event.counting.suppress_below
    sets = {
        name: attendance.roll.categories.get(name, BitMap()) for name in attendance.event.counting.exclude_categories
    }
    counted = {
        name: (_figure(attendance, left & seats), attendance.sound_views.count(None, None, seats))
        for name, seats in sets.items()
    }
    together = {name for name, (people, views) in counted.items() if _are_few(people, views, below)}
    others = sorted(
        (name for name, (people, views) in counted.items() if name not in together and any((*parts(people), views))),
        key=lambda name: (sum(parts(counted[name][0])), counted[name][1], name),
    )

    def in_all() -> tuple[Figure, int]:
        seats = BitMap.union(BitMap(), *(sets[name] for name in together))
        return _figure(attendance, left & seats), attendance.sound_views.count(None, None, seats)

    while together and others and (len(together) == 1 or _are_few(*in_all(), below)):
        together.add(others.pop(0))
    rows = [_row("minus", name, CATEGORY, *counted[name]) for name in counted if name not in together]
    return rows + ([_row("minus", OTHERS, CATEGORY, *in_all())] if together else [])


def _are_few(people: Figure, views: int, below: int) -> bool:
    return any(0 < count < below for count in (*parts(people), views))


def _flagged(attendance: Attendance, reason: TrafficReason) -> dict[str, Any]:
    return {
        "reason": reason.id,
        "kind": reason.kind,
        "definition": reason.definition,
        "excluded": reason.id in attendance.event.counting.exclude_traffic,
        "joins": attendance.roll.flagged.get(reason.id, 0),
    }


def refused_of(log: SealedLog) -> dict[str, Any]:
    """Return what the window leaves say of who was turned away: what comes late is of players who were let in."""
    requests, scans = Counter[str](), 0
    for leaf in log.windows.values():
        said = json.loads(leaf.raw)
        requests.update(said["refusals"])
        scans += said["scans"]["refused"]
    refused = [{"reason": reason, "count": count} for reason, count in sorted(requests.items())]
    return {"refused": refused, "scans_refused": scans}


def revoked_of(log: SealedLog) -> dict[str, Any]:
    """Return how many attendees and views are revoked at the end."""
    last = log.steering[-1] if log.steering else None
    return {
        "attendees": last.revoked_seats if last else 0,
        "views": last.revoked_views if last else 0,
        "statement": REVOKED,
    }
