"""The audience curve: who was present, minute by minute, at the whole event; of several namespaces, each by itself."""

from collections.abc import Sequence
from typing import Any

from pyroaring import BitMap

from counters.attendance import CHANNELS, Attendance
from counters.namespaces import named
from counters.segment import WINDOW_S

EITHER = "either"


def curve(attendance: Attendance, as_of: int) -> dict[str, Any]:
    """Return the certificate's member `curve`: every window that is scheduled or in which anybody was present.

    Fewer people than may be shown are null; and where they are on one channel, so is the number on either, from which
    they would follow. A column is a list; of an event of several namespaces there is one for each of them.

    Args:
        attendance: net.
        as_of: the end of the last window in the log (unix seconds): later ones are yet to come.
    """
    event, net = attendance.event, attendance.net
    scheduled = {window for window in event.scheduled_windows() if window + WINDOW_S <= as_of}
    windows = sorted(scheduled.union(net.windows))
    said: dict[str, Any] = {"windows": [event.iso(window) for window in windows]}
    spaces = named(event, attendance.namespaces)
    if not spaces:
        return said | _columns(attendance, windows, None)
    by_space = {name: _columns(attendance, windows, among) for name, among in spaces.items()}
    names = (*CHANNELS, EITHER)
    return said | {name: {space: columns[name] for space, columns in by_space.items()} for name in names}


def _columns(attendance: Attendance, windows: Sequence[int], among: BitMap | None) -> dict[str, list[int | None]]:
    net, below = attendance.net, attendance.event.counting.suppress_below
    found: dict[str, list[int | None]] = {}
    for name, channel in (*((each, each) for each in CHANNELS), (EITHER, None)):
        by_window = dict(zip(net.windows, net.counts(channel, None, among)[0].tolist(), strict=True))
        counted = [by_window.get(window, 0) for window in windows]
        found[name] = [None if 0 < people < below else people for people in counted]
    parts = [found[channel] for channel in CHANNELS]
    found[EITHER] = [
        None if None in (*channels,) else either for either, *channels in zip(found[EITHER], *parts, strict=True)
    ]
    return found
