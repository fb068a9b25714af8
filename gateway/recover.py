"""`turnout recover`: fills a Redis that has lost its data from the ledger's log and evidence.

Seats and scans are set if they are absent, and sketches merged: whatever a running event has written since stays. So a
run that was broken off is simply run again.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters import hyperloglog
from counters.event import Event
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.live import UNIQUES_TTL_S, LiveUnavailableError, SketchStore
from counters.recovery import Recovered, read_journals, recover
from counters.redis_address import open_link
from counters.redis_link import Command, Link
from counters.registry import SCAN_TTL_S, seat_key
from gateway.sealed_log import SealedLogError, read_sealed_log

BATCH: Final = 512
"""Entries in one pipeline: a few milliseconds of Redis' time, so that joins are not held up."""
TIMEOUT_S: Final = 10.0
"""For one pipeline. Nobody waits for it but the person at the terminal."""
TELL_EVERY_S: Final = 2.0

Say = Callable[[str], object]


class RecoverError(Exception):
    """Nothing, or not everything, was recovered, and what to do about it."""


@dataclass(slots=True)
class Outcome:
    """What became of entries of one kind. Owned by who counts them."""

    written: int = 0  # were absent
    same: int = 0
    kept: int = 0  # the registry holds something else

    def told(self, what: str, *, dry_run: bool) -> str:
        """Return it as a line."""
        written = "would be set" if dry_run else "set"
        return f"  {what:<8}{self.written:,} {written}, {self.same:,} as they were, {self.kept:,} held otherwise"


def recover_event(event: Event, data: Path, redis_url: str, live_url: str, *, dry_run: bool, say: Say) -> None:
    """Fill the Redis of an event, telling `say` what is done.

    Raises:
        RecoverError: there is no log or no evidence, it is another event's, or a Redis does not do its part.
    """
    try:
        log = read_sealed_log(event, data)
    except SealedLogError as error:
        raise RecoverError(str(error)) from None
    say(f"log: {len(log.leaves):,} leaves with evidence")
    try:
        journals = list(read_journals(log, EvidenceStore(data / "evidence").get))
    except EvidenceError as error:
        raise RecoverError(f"{error}. Nothing was written.") from None
    recovered = recover(event, journals)
    say(
        f"evidence: {len(recovered.seats):,} attendees, {recovered.aliases:,} further seats of theirs, "
        f"{len(recovered.scans):,} accepted scans, {len(recovered.uniques):,} sketches of unique attendees"
    )
    try:
        asyncio.run(_fill(event, recovered, redis_url, live_url, dry_run=dry_run, say=say))
    except (RecoverError, LiveUnavailableError) as error:
        raise RecoverError(
            f"{str(error).rstrip('.')}. Run this again once that is mended: what has been set is kept."
        ) from None
    if dry_run:
        say("Nothing was written: this was a dry run.")


async def _fill(event: Event, recovered: Recovered, redis_url: str, live_url: str, *, dry_run: bool, say: Say) -> None:
    registry = open_link(redis_url, TIMEOUT_S, RecoverError)
    try:
        seats, scans = Outcome(), Outcome()
        entries = zip(recovered.pseudonyms.tolist(), recovered.seats.tolist(), strict=True)
        told = _Progress("seats", len(recovered.seats), say)
        for batch in _batches(entries):
            await _set_seats(registry, event.id, batch, seats, dry_run=dry_run)
            told.add(len(batch))
        say(seats.told("seats", dry_run=dry_run))
        told = _Progress("scans", len(recovered.scans), say)
        for batch in _batches((scan.key, scan.what) for scan in recovered.scans):
            await _set_scans(registry, batch, scans, dry_run=dry_run)
            told.add(len(batch))
        say(scans.told("scans", dry_run=dry_run))
    finally:
        await registry.close()
    await _raise_uniques(recovered, live_url, dry_run=dry_run, say=say)


async def _set_seats(
    link: Link, event: str, batch: Sequence[tuple[bytes, int]], outcome: Outcome, *, dry_run: bool
) -> None:
    places = [(seat_key(event, pseudonym), pseudonym, seat) for pseudonym, seat in batch]
    held = await link.send([("HGET", key, pseudonym) for key, pseudonym, _ in places])
    _count(held, [str(seat).encode() for _, _, seat in places], outcome)
    # Set if absent: where a worker has been faster its seat stays, and the next run tells that it is another.
    absent: list[Command] = [
        ("HSETNX", key, pseudonym, seat)
        for (key, pseudonym, seat), has in zip(places, held, strict=True)
        if has is None
    ]
    if absent and not dry_run:
        await link.send(absent)


async def _set_scans(link: Link, batch: Sequence[tuple[str, str]], outcome: Outcome, *, dry_run: bool) -> None:
    held = await link.send([("GET", key) for key, _ in batch])
    _count(held, [what.encode() for _, what in batch], outcome)
    absent: list[Command] = [
        ("SET", key, what.encode(), "NX", "EX", SCAN_TTL_S)
        for (key, what), has in zip(batch, held, strict=True)
        if has is None
    ]
    if absent and not dry_run:
        await link.send(absent)


def _count(held: Sequence[Any], wanted: Sequence[bytes], outcome: Outcome) -> None:
    for has, want in zip(held, wanted, strict=True):
        outcome.written += has is None
        outcome.same += has == want
        outcome.kept += has is not None and has != want


async def _raise_uniques(recovered: Recovered, live_url: str, *, dry_run: bool, say: Say) -> None:
    link, store = open_link(live_url, TIMEOUT_S, RecoverError), SketchStore(live_url, TIMEOUT_S)
    risen = same = 0
    try:
        for batch in _batches(recovered.uniques.items()):
            held = await link.send([("GET", key) for key, _ in batch])
            missing = {key: registers for (key, registers), has in zip(batch, held, strict=True)
                       if not _covers(has, registers)}  # fmt: skip
            risen, same = risen + len(missing), same + len(batch) - len(missing)
            if missing and not dry_run:
                await store.merge(missing, UNIQUES_TTL_S, f"recover-{os.urandom(8).hex()}", keep_s=0)
    finally:
        await link.close()
        await store.close()
    say(f"  uniques {risen:,} sketches {'would be' if dry_run else 'were'} raised, {same:,} as they were")


def _covers(held: bytes | None, registers: hyperloglog.Registers) -> bool:
    """Whether a key holds all that it would be given."""
    if held is None:
        return False
    try:
        return bool((hyperloglog.from_redis(held) >= registers).all())
    except hyperloglog.SketchError as error:
        raise RecoverError(f"the live Redis holds what is no sketch: {error}") from None


def _batches(entries: Iterable[Any]) -> Iterable[list[Any]]:
    batch: list[Any] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Progress:
    """Tells now and then how far it is."""

    def __init__(self, what: str, total: int, say: Say) -> None:
        self._what = what
        self._total = total
        self._say = say
        self._done = 0
        self._told_at = time.monotonic()

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._say(f"  {self._what}: {self._done:,} of {self._total:,}")
