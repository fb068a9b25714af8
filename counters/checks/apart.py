"""What is shown apart, against the numbers and the leaves.

Each pair of people holds a scope's unique attendees, or those online; the event's person-minutes are its sessions'.
Leaves say how many were online in each minute of each session, and how many of them in the background: so they give the
person-minutes online and the parts of these, but for what only evidence can explain (`Reasons`), and the fewest people.
How people divide between the parts otherwise, and minutes on site, only the evidence shows.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from counters.apart import PARTS, STATEMENT, TOTALS
from counters.checks.told import Told, added, has_only, is_count

PAIRS: Final = (PARTS[:2], PARTS[2:])


def wrong(told: Told) -> Iterator[str]:
    """Yield in words what cannot be."""
    said, event = told.document["apart"], told.log.event
    if not has_only(said, "statement", "rows") or said["statement"] != STATEMENT:
        yield "the certificate's 'apart' says something else than what it is"
        return
    sessions = [{"session": session.id} for session in event.sessions]
    if [row["scope"] for row in said["rows"]] != [{}, *sessions]:
        yield "what is shown apart is not of the event and of each of its sessions"
        return
    for row in said["rows"]:
        if not has_only(row, "scope", *PARTS):
            yield "a row of what is shown apart has other members than it must"
            return
        for pair, rule in zip(PAIRS, TOTALS, strict=True):
            yield from _pair(told, row, pair, rule)
    whole, *rows = said["rows"]
    for part in PARTS:
        minutes = [row[part]["person_minutes"] for row in rows]
        if None not in (*minutes, whole[part]["person_minutes"]) and sum(minutes) != whole[part]["person_minutes"]:
            yield f"the event's person-minutes {part.replace('_', ' ')} are not its sessions' added up"
    for session, row in zip(event.sessions, rows, strict=True):
        yield from _of_leaves(told, session.id, row)


def _pair(told: Told, row: Mapping[str, Any], pair: tuple[str, ...], rule: str) -> Iterator[str]:
    name = row["scope"].get("session", "the event")
    one, other = (row[part] for part in pair)
    if any("suppressed" in part for part in (one, other)):
        nothing = {"people": None, "person_minutes": None, "suppressed": True}
        if one != nothing or other != nothing:
            yield f"{pair} of {name} are withheld, and say something all the same"
        return
    if told.is_withheld(rule, row["scope"]):
        yield f"{pair} of {name} tell what is withheld as {rule}"
    counted = []
    for part, said in zip(pair, (one, other), strict=True):
        if not has_only(said, "people", "person_minutes") or not is_count(said["person_minutes"]):
            yield f"{part} of {name} has no person-minutes"
            return
        counted.append(told.people(said["people"], f"{part} of {name}"))
        known = [count or 0 for count in counted[-1].values()]
        if sum(known) > said["person_minutes"]:
            yield f"{part} of {name} has more people than person-minutes"
        if not told.several and (None in counted[-1].values() or 0 < sum(known) < told.below):
            yield f"{part} of {name} shows so few people that none may be shown"
    if told.differs(added(*counted), rule, row["scope"]):
        yield f"{pair} of {name} are not its {told.printed(rule, row['scope'])} {rule}"


def _of_leaves(told: Told, session: str, row: Mapping[str, Any]) -> Iterator[str]:
    item = told.log.event.session(session)
    scheduled = {*told.log.event.session_windows(item)} if item else set[int]()
    online, hidden, on_time = _Sum(), _Sum(), _Sum()
    outside, foremost = _Sum(), 0
    for leaf, counts in told.leaves_of(session):
        present = told.reasons.between(leaf.window, counts["present"])
        background = told.reasons.between(leaf.window, counts["background"])
        online.add(present)
        hidden.add(background)
        (on_time if leaf.window in scheduled else outside).add(present)
        if background[1] is not None:
            foremost = max(foremost, present[0] - background[1])
    for window in told.reasons.late - told.log.windows.keys():
        for each in (online, hidden, on_time if window in scheduled else outside):
            each.add(told.reasons.between(window, 0))
    minutes = {part: row[part]["person_minutes"] for part in PARTS}
    if minutes["foreground"] is not None and not online.may_be(minutes["foreground"] + minutes["background"]):
        yield f"the leaves of {session} do not have the person-minutes online that stand apart"
    if minutes["background"] is not None and not hidden.may_be(minutes["background"]):
        yield f"the leaves of {session} do not have the person-minutes in the background that stand apart"
    if minutes["in_schedule"] is not None and (
        minutes["in_schedule"] < on_time.least or minutes["outside"] < outside.least
    ):
        yield f"the leaves of {session} have more person-minutes in its schedule, or outside, than stand apart"
    seen = row["foreground"]["people"]
    counted = {} if seen is None else told.people(seen, session)
    if counted and None not in counted.values() and sum(each or 0 for each in counted.values()) < foremost:
        yield f"the leaves of {session} have more people in the foreground at once than stand apart"


class _Sum:
    """A sum of counts of which each is between two limits."""

    def __init__(self) -> None:
        self.least, self._most, self._limited = 0, 0, True

    def add(self, between: tuple[int, int | None]) -> None:
        least, most = between
        self.least += least
        self._most += most or 0
        self._limited = self._limited and most is not None

    def may_be(self, said: int) -> bool:
        return self.least <= said and (said <= self._most or not self._limited)
