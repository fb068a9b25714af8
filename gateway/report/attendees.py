"""The list of attendees as Parquet: one row for each attendee, session and channel, under pseudonyms.

    seat u32, pseudonym 16 bytes, session (id), channel, minutes u16, minutes_in_schedule u16, first, last (timestamps
    in the event's zone), then, where the organiser joins a list of their own, its columns as text

Made from the sealed roll and the minutes beside it, a session and channel at a time. Whoever has no such list gets no
name: a pseudonym is turned into a person only by holding the event's pseudonym key against subjects.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from counters.attendance_table import ROW
from counters.event import Event
from counters.minutes_files import minutes_files
from counters.roll_leaf import LEAF_DTYPE
from counters.roll_tree import SealedRoll
from gateway.report import ReportError, needing

SUBJECT: Final = "subject"
"""Column of the organiser's list that holds the subject claim of the tickets."""
ROWS_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OwnList:
    """What an organiser knows of attendees: columns of text by the position of their leaf in the roll."""

    columns: tuple[str, ...]
    rows: Mapping[int, tuple[str, ...]]
    unknown: int = 0  # lines of people who are not on the roll


def read_own_list(path: Path, place_of: Callable[[str], int | None]) -> OwnList:
    """Return an organiser's list.

    Args:
        path: CSV in UTF-8 with a heading; one column is `subject`.
        place_of: from a subject to the position of their leaf in the roll; None if they are not on it.

    Raises:
        ReportError: the file is no such list.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            lines = csv.DictReader(file, strict=True)
            columns = tuple(name for name in lines.fieldnames or () if name != SUBJECT)
            if SUBJECT not in (lines.fieldnames or ()) or set(columns) & set(_names()):
                raise ReportError(
                    f"{path} needs a heading with a column {SUBJECT!r}, and none of {', '.join(_names())}"
                )
            rows, unknown = dict[int, tuple[str, ...]](), 0
            for line in lines:
                place = place_of(line[SUBJECT] or "")
                if place is None:
                    unknown += 1
                else:
                    rows[place] = tuple(line[name] or "" for name in columns)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ReportError(f"{path} is no CSV in UTF-8: {error}") from None
    return OwnList(columns, rows, unknown)


def write_attendees(event: Event, roll: SealedRoll, output: Path, own: OwnList | None = None) -> int:
    """Write the list of a sealed roll whose minutes are there; return how many rows it has.

    Raises:
        ReportError: pyarrow is not installed.
        OSError: the disk refuses.
    """
    with needing("parquet", "what writes the list"):
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    own = own or OwnList((), {})
    text, time = pa.dictionary(pa.int32(), pa.string()), pa.timestamp("s", event.time_zone)
    types = (pa.uint32(), pa.binary(16), text, text, pa.uint16(), pa.uint16(), time, time)
    schema = pa.schema([*zip(_names(), types, strict=True), *((name, pa.string()) for name in own.columns)])
    schema = schema.with_metadata({"event": event.id, "event_sha256": event.digest, "simulated": str(event.simulated)})
    titles, count = {session.number: session.id for session in event.sessions}, 0
    with parquet.ParquetWriter(output, schema, compression="zstd") as writer:
        for session, channel, rows, places, pseudonyms in _parts(roll):
            constant = [_constant(pa, name, len(rows)) for name in (titles[session], channel)]
            columns = [
                pa.array(rows["seat"].astype(np.uint32)),
                pa.array(pseudonyms, pa.binary(16)),
                *constant,
                *(pa.array(rows[name].astype(np.uint16)) for name in ("minutes", "in_schedule")),
                *(pa.array(rows[name].astype(np.int64), pa.int64()).cast(time) for name in ("first", "last")),
                *_joined(pa, own, places),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(rows)
    return count


def _names() -> tuple[str, ...]:
    return ("seat", "pseudonym", "session", "channel", "minutes", "minutes_in_schedule", "first", "last")


def _parts(roll: SealedRoll) -> Iterator[tuple[int, str, Any, Any, list[bytes]]]:
    """Yield (session number, channel, rows, positions of their leaves in the roll, pseudonyms), so many at a time."""
    leaves = np.memmap(roll.folder / "leaves.bin", LEAF_DTYPE, "r")
    by_seat = np.argsort(leaves["seat"], kind="stable").astype(np.uint32)
    seats = leaves["seat"][by_seat]
    for session, channel, path in minutes_files(roll.folder):
        table = np.memmap(path, ROW, "r")
        for start in range(0, len(table), ROWS_AT_ONCE):
            rows = np.array(table[start : start + ROWS_AT_ONCE])
            at = np.minimum(np.searchsorted(seats, rows["seat"]), len(seats) - 1)
            on_roll = seats[at] == rows["seat"]
            rows, places = rows[on_roll], by_seat[at[on_roll]]
            if len(rows):
                yield session, channel, rows, places, [bytes(one) for one in leaves["pseudonym"][places].tolist()]


def _constant(pa: Any, value: str, length: int) -> Any:
    return pa.DictionaryArray.from_arrays(np.zeros(length, np.int32), [value])


def _joined(pa: Any, own: OwnList, places: Sequence[int]) -> Iterator[Any]:
    found = [own.rows.get(int(place)) for place in places] if own.columns else []
    for at in range(len(own.columns)):
        yield pa.array([None if row is None else row[at] for row in found], pa.string())
