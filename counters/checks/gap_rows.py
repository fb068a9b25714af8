"""What gaps may hide, against the log: gaps that leaves show are there, and nothing is bounded of which nobody knows.

How many people a gap hides, and which gaps there are besides, only the evidence shows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from counters.bounds import STATEMENT
from counters.checks.told import Told, has_only, is_count
from counters.gaps import BOUNDLESS, GapKind, windows_without_leaf
from counters.segment import WINDOW_S

NO_JOURNAL: Final = "no-journal"
MEMBERS: Final = ("gap", "window", "seconds", "worker", "gateway", "more_people_at_most", "fewer_people_at_most")


def wrong(told: Told) -> Iterator[str]:
    """Yield in words what cannot be."""
    said = told.document["gaps"]["bounds"]
    if not has_only(said, "statement", "rows") or said["statement"] != STATEMENT:
        yield "what gaps may hide says something else than what it is"
        return
    yield from _rows(told, said["rows"])
    yield from _logged(told, said["rows"])
    bounded = [row for row in told.document["numbers"] if "bounds_with_gaps" in row or _by_gaps(row)]
    if bounded and not said["rows"]:
        yield f"{len(bounded)} numbers have bounds, and there is no gap"


def _rows(told: Told, rows: Sequence[Any]) -> Iterator[str]:
    known = {kind.value for kind in GapKind} | {NO_JOURNAL}
    boundless = {kind.value for kind in BOUNDLESS}
    for row in rows:
        if not has_only(row, *MEMBERS) or row["gap"] not in known:
            yield f"there is no such gap as {row}"
            return
        people = [row[name] for name in MEMBERS[5:]]
        if not all(each is None or (is_count(each) and (each == 0 or each >= told.below)) for each in people):
            yield f"the gap {row['gap']} hides no whole number of people, or so few that none may be told"
        if row["gap"] in boundless and people[0] is not None:
            yield f"nobody knows what the gap {row['gap']} hides, and yet it is bounded"
        if people[1] is None:
            yield f"the gap {row['gap']} may take away more people than were counted"


def _logged(told: Told, rows: Sequence[Any]) -> Iterator[str]:
    log, iso = told.log, told.log.event.iso
    seen = {(GapKind.NO_LEAF.value, iso(window)) for window in windows_without_leaf(log)}
    seen |= {(GapKind.RESTORED.value, iso(leaf.since // WINDOW_S * WINDOW_S)) for leaf in log.restored}
    seen |= {(GapKind.LATE.value, iso(leaf.window)) for leaf in log.late if not leaf.counted}
    shown = {(row["gap"], row["window"]) for row in rows}
    by_log = {GapKind.NO_LEAF.value, GapKind.RESTORED.value, GapKind.LATE.value}
    for gap, window in sorted(seen - shown):
        yield f"the log shows the gap {gap} in the window {window}, and the certificate does not say what it hides"
    for gap, window in sorted(shown - seen, key=str):
        if gap in by_log:
            yield f"the log shows no gap {gap} in the window {window}"


def _by_gaps(row: dict[str, object]) -> bool:
    return row["value"] is not None and "bounds" in row
