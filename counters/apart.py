"""What is shown apart: presence in schedule and outside, and online in the foreground and in the background.

Of each session and of the event as a whole. The first pair adds up to everybody, the second to whoever was online:

    in_schedule   people who were present in a session while it was scheduled; their person-minutes then
    outside       people who were present only outside of that; all person-minutes outside
    foreground    people whose player was in the foreground in some window; all person-minutes online but those below
    background    people who were online only ever in the background; person-minutes of players in the background

People of several namespaces are counted each by itself (counters.namespaces). A person-minute is one person in one
window of one session; the event's are those of its sessions added up, and so are
its person-minutes of whoever is in two sessions at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from pyroaring import BitMap

from counters.attendance import ONLINE, Attendance, scheduled_windows
from counters.event import Event
from counters.evidence import SessionPresence
from counters.namespaces import Figure, figure, parts

PARTS: Final = ("in_schedule", "outside", "foreground", "background")
TOTALS: Final = ("unique-attendees", "unique-attendees-online")
"""What each pair adds up to, by the rule that counts it."""
STATEMENT: Final = (
    "Presence outside a session's schedule counts for the people who attended it, and enters no average or percentage. "
    "A player in the background counts as presence. A person-minute is one person in one clock minute of one session; "
    "those of the event are its sessions' added up."
)


class WhoIsWho(Protocol):
    """The roll, as far as it is needed here."""

    def canonical(self, seats: BitMap) -> BitMap:
        """Return the attendees in these seats."""

    def people(self, attendees: BitMap) -> BitMap:
        """Return who of them counts."""


@dataclass(slots=True)
class Foreground:
    """Who was ever seen in the foreground, taken in window by window. Owned by its caller."""

    ever: dict[int, BitMap] = field(default_factory=dict)  # by session number: seats, aliases too
    background_minutes: dict[int, int] = field(default_factory=dict)  # by session number: person-minutes, net

    def take(self, event: Event, merged: Mapping[int, SessionPresence], who: WhoIsWho) -> None:
        """Take in a window, all gateways and late evidence together."""
        for session in event.sessions:
            row = merged.get(session.number)
            if row is None or not row.playing:
                continue
            front = row.playing - row.background if row.background else row.playing
            if session.number in self.ever:
                self.ever[session.number] |= front
            else:
                self.ever[session.number] = front.copy()
            if row.background:
                # Somebody with two seats may be in both sets: what is seen in the foreground decides.
                hidden = who.people(who.canonical(row.background) - who.canonical(front))
                self.background_minutes[session.number] = self.background_minutes.get(session.number, 0) + len(hidden)

    def add(self, other: "Foreground") -> None:
        """Add those of other windows."""
        for number, seats in other.ever.items():
            self.ever[number] = self.ever[number] | seats if number in self.ever else seats
        for number, minutes in other.background_minutes.items():
            self.background_minutes[number] = self.background_minutes.get(number, 0) + minutes


def apart(attendance: Attendance, foreground: Foreground, withheld: Collection[tuple[str, str]]) -> dict[str, Any]:
    """Return the certificate's member `apart`; `withheld` are (rule, session id) of numbers that may not follow."""
    event, net, roll = attendance.event, attendance.net, attendance.roll
    below, rows = event.counting.suppress_below, []
    inside, front = BitMap(), BitMap()
    sums = dict.fromkeys(PARTS, 0)
    for session in event.sessions:
        number, here = session.number, net.within(None, session.number, None)
        on_time = net.attended(1, number, None)
        seen = roll.people(roll.canonical(foreground.ever.get(number, BitMap())))
        minutes = _person_minutes(attendance, number, foreground)
        inside |= on_time
        front |= seen
        sums = {part: sums[part] + minutes[part] for part in PARTS}
        online = net.within(ONLINE, number, None)
        hidden = tuple((rule, session.id) in withheld for rule in TOTALS)
        rows.append(
            _row({"session": session.id}, _people(attendance, here, on_time, online, seen), minutes, below, hidden)
        )
    everybody, online = (net.within(channel, None, None) for channel in (None, ONLINE))
    whole = _row({}, _people(attendance, everybody, inside, online, front), sums, below)
    return {"statement": STATEMENT, "rows": [whole, *rows]}


def _people(
    attendance: Attendance, everybody: BitMap, on_time: BitMap, online: BitMap, front: BitMap
) -> dict[str, Figure]:
    pairs = ((everybody, on_time), (online, front))
    sets = [who for whole, part in pairs for who in (whole & part, whole - part)]
    spaces = attendance.roll.namespaces
    return {part: figure(attendance.event, spaces, who) for part, who in zip(PARTS, sets, strict=True)}


def _person_minutes(attendance: Attendance, number: int, foreground: Foreground) -> dict[str, int]:
    event, net = attendance.event, attendance.net
    scheduled = np.isin(np.array(net.windows, np.int64), scheduled_windows(event, number, None))
    present, online = (net.counts(channel, number, None)[0] for channel in (None, ONLINE))
    on_time, hidden = int(present[scheduled].sum()), foreground.background_minutes.get(number, 0)
    counted = (on_time, int(present.sum()) - on_time, int(online.sum()) - hidden, hidden)
    return dict(zip(PARTS, counted, strict=True))


def _row(
    scope: dict[str, str],
    people: Mapping[str, Figure],
    minutes: Mapping[str, int],
    below: int,
    hidden: Sequence[bool] = (False, False),
) -> dict[str, Any]:
    """Return a row; of a pair of which one is of few people neither is shown, nor if its total is `hidden`."""
    row: dict[str, Any] = {"scope": scope}
    for pair, total_hidden in zip((PARTS[:2], PARTS[2:]), hidden, strict=True):
        few = total_hidden or any(0 < sum(parts(people[part])) < below for part in pair)
        small = {name for part in pair for name, count in _by_space(people[part]).items() if 0 < count < below}
        for part in pair:
            shown = {name: None if name in small else count for name, count in _by_space(people[part]).items()}
            row[part] = {
                "people": None if few else shown or people[part],
                "person_minutes": None if few else minutes[part],
            } | ({"suppressed": True} if few else {})
    return row


def _by_space(people: Figure) -> dict[str, int]:
    return {} if isinstance(people, int) else people
