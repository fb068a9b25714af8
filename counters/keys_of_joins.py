"""Whether each join in the evidence was accepted under a key of its issuer that the log says was in force then.

A join by ticket, and a badge, name issuer and key in the journal (counters.journal). When a join was accepted is told
twice: by its own date, and by the window in which its gateway handed it over. The key must have been in force at both,
with the leeway of counters.keys_in_force; else whoever holds a key that leaked would only have to date joins back.

Two kinds of joins have no key to be held against: by viewing token, which goes on from a ticket shown before, and
guests, whom no issuer vouches for. What cannot be told of the others is whether evidence that the log has only since a
key was retired is as old as it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from counters.journal import Assurance, JoinKind
from counters.journal_segment import JournalSegment
from counters.keys_in_force import LEEWAY_S, RETIRE, IssuerKey
from counters.log_entries import LateLeaf, SealedLog, WindowLeaf
from counters.sealed_evidence import LeafOutline
from counters.segment import WINDOW_S

Numbers = npt.NDArray[np.intp]
_NOBODYS: Final = 0
"""The place of a text that is no issuer's id, or no thumbprint, that the log knows."""


@dataclass(frozen=True, slots=True)
class JoinAt:
    """One join in the evidence."""

    entry: int  # of the leaf that leads to it
    window: int  # unix seconds
    evidence: str  # digest of its file
    row: int  # among the joins of the file, from 0
    issuer: str
    key: str  # thumbprint
    joined_at: float  # unix seconds


class KeysOfJoins:
    """What was found so far. Owned by whoever reads the journals in the order of the log."""

    def __init__(self, log: SealedLog) -> None:
        """Take the log for its issuers and their keys."""
        keys = log.issuer_keys
        thumbprints = sorted({key.thumbprint for each in keys.by_issuer.values() for key in each})
        self._issuers = {issuer: place for place, issuer in enumerate(keys.by_issuer, 1)}
        self._names = {name: place for place, name in enumerate(thumbprints, 1)}
        self._width = len(thumbprints) + 1
        self._unheld = (len(self._issuers) + 1) * self._width
        self._keys: dict[int, IssuerKey] = {
            self._issuers[issuer] * self._width + self._names[key.thumbprint]: key
            for issuer, each in keys.by_issuer.items()
            for key in each
        }
        self._retired_in: dict[int, int] = {
            self._issuers[leaf.change.issuer] * self._width + self._names[leaf.change.thumbprint]: leaf.index
            for leaf in log.key_changes
            if leaf.change.action == RETIRE
        }
        self.held = self.by_token = self.guests = 0
        """How many joins name a key, or must; and how many cannot, of either kind."""
        self.strange = self.untimely = self.doubtful = 0
        """How many of those held name no key that their issuer ever had; one not in force; one that nobody can say."""
        self.first_wrong: JoinAt | None = None
        self.first_doubtful: JoinAt | None = None
        self.used: set[int] = set()
        """Which keys were named."""

    def take(self, outline: LeafOutline, journals: Sequence[JournalSegment]) -> None:
        """Take in the journals of the next leaf."""
        for file, journal in zip(outline.journals, journals, strict=True):
            if len(journal.joins):
                self._hold(outline.leaf, file.sha256, journal)

    def _hold(self, leaf: WindowLeaf | LateLeaf, evidence: str, journal: JournalSegment) -> None:
        joins, texts = journal.joins, journal.texts
        # A hundred million joins: each is looked up, and none becomes a Python object.
        issuers = np.array([self._issuers.get(text, _NOBODYS) for text in texts], np.intp)
        names = np.array([self._names.get(text, _NOBODYS) for text in texts], np.intp)
        places: Numbers = issuers[joins["issuer"]] * self._width + names[joins["key_thumbprint"]]
        by_token = joins["kind"] == JoinKind.VIEWING_TOKEN
        places[by_token | (joins["assurance"] == Assurance.GUEST)] = self._unheld
        counts = np.bincount(places, minlength=self._unheld + 1)
        tokens, unheld = int(np.count_nonzero(by_token)), int(counts[self._unheld])
        self.by_token += tokens
        self.guests += unheld - tokens
        self.held += len(joins) - unheld
        wrong, doubtful = list[int](), list[int]()
        for place in np.flatnonzero(counts[: self._unheld]).tolist():
            key = self._keys.get(place)
            if key is None:
                self.strange += int(counts[place])
                wrong.append(int(np.argmax(places == place)))
                continue
            self.used.add(place)
            if key.added_at is None and key.retired_at is None:
                continue
            rows = np.flatnonzero(places == place)
            untimely = rows[_untimely(key, leaf.window, joins["joined_at_ms"][rows])]
            self.untimely += len(untimely)
            wrong += untimely[:1].tolist()
            if self._came_after(leaf, place, key) and len(untimely) < len(rows):
                self.doubtful += len(rows) - len(untimely)
                doubtful.append(int(np.setdiff1d(rows, untimely)[0]))
        self.first_wrong = self.first_wrong or _at(leaf, evidence, journal, wrong)
        self.first_doubtful = self.first_doubtful or _at(leaf, evidence, journal, doubtful)

    def _came_after(self, leaf: WindowLeaf | LateLeaf, place: int, key: IssuerKey) -> bool:
        """Whether the log has this evidence only since the key was retired, and not as a window is sealed in time."""
        if key.retired_at is None or leaf.index < self._retired_in[place]:
            return False
        return isinstance(leaf, LateLeaf) or leaf.window + WINDOW_S + LEEWAY_S <= key.retired_at


def _untimely(key: IssuerKey, window: int, joined_at_ms: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which joins of a window were accepted when a key was not in force."""
    since = None if key.added_at is None else key.added_at - LEEWAY_S
    until = None if key.retired_at is None else key.retired_at + LEEWAY_S
    if (since is not None and window + WINDOW_S <= since) or (until is not None and window > until):
        return np.ones(len(joined_at_ms), bool)
    early = np.zeros(len(joined_at_ms), bool) if since is None else joined_at_ms < np.uint64(max(since, 0) * 1000)
    return early if until is None else early | (joined_at_ms > np.uint64(max(until, 0) * 1000))


def _at(leaf: WindowLeaf | LateLeaf, evidence: str, journal: JournalSegment, rows: Sequence[int]) -> JoinAt | None:
    """Return the first of some joins of a journal."""
    if not rows:
        return None
    join = journal.joins[min(rows)]
    return JoinAt(
        leaf.index, leaf.window, evidence, min(rows), journal.texts[join["issuer"]],
        journal.texts[join["key_thumbprint"]], int(join["joined_at_ms"]) / 1000,
    )  # fmt: skip
