"""The journals of a window: a row for each visit's join, and for each scan at a gate with the badge behind it."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from counters.evidence import JournalSegment, SegmentHead
from counters.journal import Assurance, Direction, JoinKind
from counters.journal_segment import JOIN_DTYPE, SCAN_DTYPE
from load_tests.scale.onsite import OnsiteVisit
from load_tests.scale.people import AGENTS, CATEGORIES, COUNTRIES, NETWORKS, OUTLETS, Numbers, People, draw
from load_tests.scale.programme import ISSUER
from load_tests.scale.visits import Visits, gateways_of, joined_at_ms_of, seats_of, views_of

THUMBPRINT: Final = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
TEXTS: Final = tuple(
    sorted({"", ISSUER, THUMBPRINT, *COUNTRIES, *CATEGORIES, *OUTLETS, *NETWORKS, *AGENTS}, key=str.encode)
)
"""Every text of a join; a segment's table holds those that its rows use."""
_AT: Final = {text: position for position, text in enumerate(TEXTS)}
_COLUMNS: Final = ("issuer", "key_thumbprint", "country", "category", "outlet", "network", "agent")
Rows = npt.NDArray[np.void]


def _codes(texts: Iterable[str]) -> npt.NDArray[np.uint16]:
    return np.array([_AT[text] for text in texts], np.uint16)


_TABLES: Final = {
    "country": _codes(COUNTRIES),
    "category": _codes(CATEGORIES),
    "outlet": _codes(OUTLETS),
    "network": _codes(NETWORKS),
    "agent": _codes(AGENTS),
}


class Joins:
    """The joins of one run of windows, gateway by gateway."""

    def __init__(self, people: People, visits: Visits, first: int, end: int) -> None:
        """Take the visits that begin in windows `first` to `end` − 1, out of all these."""
        self._people = people
        mine = visits[(visits["start"] >= first) & (visits["start"] < end)]
        key = mine["start"].astype(np.int64) * people.gateways + gateways_of(people, mine)
        order = np.argsort(key.astype(np.uint16), kind="stable")
        self._visits, self._keys = mine[order], key[order]

    def rows(self, window: int, gateway: int) -> Rows:
        """Return the rows of the joins that a gateway took in a window; text fields are positions in TEXTS."""
        key = window * self._people.gateways + gateway
        begin, end = np.searchsorted(self._keys, (key, key + 1))
        return join_rows(self._people, self._visits[begin:end], window)


def join_rows(people: People, visits: Visits, window: int) -> Rows:
    """Return the rows of these joins, all of one window, in the order of time."""
    within_ms = joined_at_ms_of(people, visits)
    order = np.argsort(within_ms, kind="stable")
    visits, within_ms = visits[order], within_ms[order]
    persons = visits["person"].astype(np.int64)
    ticket, guest = visits["ticket"] != 0, people.guest(persons)
    rows = np.zeros(len(visits), JOIN_DTYPE)
    rows["seat"], rows["session"] = seats_of(people, visits), visits["session"]
    rows["kind"] = np.where(ticket, JoinKind.TICKET, JoinKind.VIEWING_TOKEN)
    rows["assurance"] = np.where(guest, Assurance.GUEST, Assurance.TICKETED)
    rows["view"], rows["joined_at_ms"] = views_of(people, visits), people.programme.unix_s(window) * 1000 + within_ms
    _write_address(people, rows, persons)
    _write_identity(people, rows, persons, ticket)
    for name, codes in (
        ("outlet", people.outlets(persons)), ("network", people.networks(persons)), ("agent", people.agents(persons)),
    ):  # fmt: skip
        rows[name] = _TABLES[name][codes]
    vouched = ticket & ~guest
    rows["issuer"], rows["key_thumbprint"] = np.where(vouched, _AT[ISSUER], 0), np.where(vouched, _AT[THUMBPRINT], 0)
    return rows


def _write_address(people: People, rows: Rows, persons: Numbers) -> None:
    # A household, an office, a carrier: some share a prefix.
    rows["address"] = draw(people.purpose(14), persons // 3).view("V8")


def _write_identity(people: People, rows: Rows, persons: Numbers, shown: npt.NDArray[np.bool_]) -> None:
    """Write what a ticket says about whoever showed one; what others say nothing about stays zero and ""."""
    words = people.pseudonyms(persons)
    words[~shown] = 0
    rows["pseudonym"] = np.ascontiguousarray(words).view("V16").reshape(-1)
    digests = np.stack([draw(people.purpose(15 + part), persons) for part in range(4)], axis=1)
    digests[~shown] = 0
    rows["token_digest"] = np.ascontiguousarray(digests).view("V32").reshape(-1)
    for name, codes in (("country", people.countries(persons)), ("category", people.categories(persons))):
        rows[name] = np.where(shown, _TABLES[name][codes], _AT[""])


def segment(head: SegmentHead, joins: Rows, scans: Rows, more_texts: tuple[str, ...] = ()) -> JournalSegment:
    """Return the journal of rows whose text fields are positions in TEXTS, continued by `more_texts`."""
    texts = TEXTS + more_texts
    used = np.zeros(len(texts), bool)
    for rows, names in ((joins, _COLUMNS), (scans, ("gate", "nonce", "refusal"))):
        for name in names:
            used[rows[name]] = True
    chosen = sorted(np.flatnonzero(used).tolist(), key=lambda position: texts[position].encode())
    position = np.zeros(len(texts), np.uint16)
    position[chosen] = np.arange(len(chosen))
    for rows, names in ((joins, _COLUMNS), (scans, ("gate", "nonce", "refusal"))):
        for name in names:
            rows[name] = position[rows[name]]
    return JournalSegment(head, tuple(texts[each] for each in chosen), joins, scans)


def scans_by_window(visits: Iterable[OnsiteVisit]) -> dict[int, list[tuple[int, OnsiteVisit, Direction]]]:
    """Return by window the scans in it: millisecond within it, whose visit, which way."""
    found: dict[int, list[tuple[int, OnsiteVisit, Direction]]] = {}
    for visit in visits:
        found.setdefault(visit.first, []).append((visit.enters_ms, visit, Direction.IN))
        if visit.leaves_ms >= 0:
            found.setdefault(visit.last, []).append((visit.leaves_ms, visit, Direction.OUT))
    return {window: sorted(scans, key=lambda scan: (scan[0], scan[1].person)) for window, scans in found.items()}


def scan_rows(
    people: People, window: int, scans: Iterable[tuple[int, OnsiteVisit, Direction]]
) -> tuple[Rows, Rows, tuple[str, ...]]:
    """Return the joins by badge and the scans of a window, and the texts that follow those of TEXTS."""
    badges: list[Rows] = []
    rows: list[tuple[Any, ...]] = []
    places: dict[str, int] = {}

    def place(text: str) -> int:
        return _AT[text] if text in _AT else places.setdefault(text, len(TEXTS) + len(places))

    for within_ms, visit, direction in scans:
        at_ms = people.programme.unix_s(window) * 1000 + within_ms
        persons = np.array([visit.person], np.int64)
        seat = int(people.seats(persons)[0])
        nonce = f"{visit.person}-{window}-{direction.value}"
        badges.append(_badge(people, persons, visit.session, at_ms))
        rows.append((seat, visit.session, direction, 0, at_ms, at_ms, place(visit.gate), place(nonce), place("")))
    joins = np.concatenate(badges) if badges else np.zeros(0, JOIN_DTYPE)
    return joins, np.array(rows, SCAN_DTYPE), tuple(places)


def _badge(people: People, persons: Numbers, session: int, at_ms: int) -> Rows:
    row = np.zeros(1, JOIN_DTYPE)
    row["seat"], row["session"], row["kind"] = people.seats(persons), session, JoinKind.BADGE
    row["assurance"], row["joined_at_ms"] = Assurance.TICKETED, at_ms
    _write_identity(people, row, persons, np.ones(1, bool))
    row["outlet"] = _TABLES["outlet"][people.outlets(persons)]
    row["issuer"], row["key_thumbprint"] = _AT[ISSUER], _AT[THUMBPRINT]
    return row
