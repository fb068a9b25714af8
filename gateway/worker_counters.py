"""The counters of a gateway's workers, summed: what /metrics says never falls.

Each worker counts in files of its own (counters.cells). When its spool folder has been carried and goes, its counters
are retired: added to those of all that went before, in `SPOOL/retired.json`, so that they are not lost with this
process either: whoever owns the spool next, after a restart or a take-over, goes on from them.

    {"version": 1, "event_sha256": hex, "counters": {name: number}, "workers": [those whose folders may still be there]}

The file is renamed into place and not synced: a power cut may set the counters back, and nothing else.
"""

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from counters.cells import CellsFile
from gateway.reasons import Reason
from gateway.worker_folders import RECENT_S, WorkerFolder, WorkerFolders

VERSION: Final = 1
RETIRED: Final = "retired.json"
CELLS: Final = "cells"
MEASURES: Final = "measures"
FILES: Final = (CELLS, MEASURES)
"""A worker's: outcomes, which are evidence as well, and what is for /metrics alone. One that came before has no
measures."""
_NEVER: Final[tuple[float, Mapping[str, int], Mapping[str, int]]] = (-RECENT_S, {}, {})


class WorkerCounters:
    """The counters of one gateway. Owned by whoever owns the spool; it may be asked from any thread."""

    def __init__(self, folders: WorkerFolders, event_sha256: str) -> None:
        """Go on from what earlier owners of the spool have retired."""
        self._folders = folders
        self._event_sha256 = event_sha256
        self._file = folders.spool / RETIRED
        # Held while a folder's counters become retired ones and it is removed: nobody counts them twice or not at all.
        self._lock = threading.Lock()
        self._open: dict[Path, CellsFile] = {}
        self._retired, self._gone = self._read_retired()
        self._summed = _NEVER

    def totals(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return the counters by name, at most a second old: of all workers that ever were, and of those that live."""
        with self._lock:
            summed_at, totals, living = self._summed
            if time.monotonic() - summed_at >= RECENT_S:
                folders = self._folders.recent()
                living = self._sum([folder for folder in folders if not folder.dead], {})
                dead = self._sum([folder for folder in folders if folder.dead], self._retired)
                totals = {name: dead.get(name, 0) + living.get(name, 0) for name in {**dead, **living}}
                self._summed = (time.monotonic(), totals, living)
            return totals, living

    def retire(self, folder: WorkerFolder) -> None:
        """Keep a dead worker's counters and remove its folder, which has been carried.

        Raises:
            OSError: the disk refuses; the folder, or a part of it, is still there.
        """
        with self._lock:
            if folder.worker not in self._gone:
                self._retired = self._sum([folder], self._retired)
                here = {worker for worker in self._gone if (self._folders.spool / worker).exists()}
                self._gone = here | {folder.worker}
                self._summed = _NEVER
                self._keep_retired()
            # A crash here, or before all of it is gone, leaves a folder whose counters are not counted again.
            for path in folder.path.iterdir():
                path.unlink()
            folder.path.rmdir()
            self._open = {path: file for path, file in self._open.items() if path.parent != folder.path}

    def _sum(self, folders: Sequence[WorkerFolder], start: Mapping[str, int]) -> dict[str, int]:
        # Workers of one version have the same names: added up as arrays, and once by name.
        by_names: dict[tuple[str, ...], npt.NDArray[np.int64]] = {}
        for folder in folders:
            for name in FILES if folder.worker not in self._gone else ():
                if file := self._cells(folder.path / name):
                    values = np.array(file.values(), np.int64)
                    by_names[file.names] = by_names.get(file.names, np.zeros_like(values)) + values
        totals = dict(start)
        for names, values in by_names.items():
            for name, count in zip(names, values.tolist(), strict=True):
                totals[name] = totals.get(name, 0) + count
        return totals

    def _cells(self, path: Path) -> CellsFile | None:
        """The file of a worker; None if it is just making it, died before it had, or is gone."""
        if path not in self._open:
            try:
                self._open[path] = CellsFile(path)
            except (OSError, ValueError):
                return None
        return self._open[path]

    def _read_retired(self) -> tuple[dict[str, int], set[str]]:
        try:
            kept = orjson.loads(self._file.read_bytes())
            if (kept["version"], kept["event_sha256"]) != (VERSION, self._event_sha256):
                return {}, set()
            return {str(name): int(count) for name, count in kept["counters"].items()}, set(kept["workers"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}, set()

    def _keep_retired(self) -> None:
        fresh = self._file.with_suffix(".new")
        kept = {"version": VERSION, "event_sha256": self._event_sha256, "counters": self._retired}
        # On a full disk the counters fall with the next start; what makes room is not held up by that.
        with contextlib.suppress(OSError):
            fresh.write_bytes(orjson.dumps(kept | {"workers": sorted(self._gone)}))
            fresh.rename(self._file)


def outcomes(totals: Mapping[str, int], path: str, accepted: Sequence[str]) -> dict[str, int]:
    """Pick one path's outcomes out of the counters: `beat.playing` as "playing", `refused.beat.token_forged` likewise.

    What an older version counted and this one has no word for is left out.
    """
    cells = {outcome: f"{path}.{outcome}" for outcome in accepted}
    cells |= {reason.label: f"refused.{path}.{reason.label}" for reason in Reason}
    return {outcome: totals[cell] for outcome, cell in cells.items() if cell in totals}
