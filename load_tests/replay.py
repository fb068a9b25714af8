"""The replay: carries the audience's plan out through HTTP, one step of the simulated clock after the other.

Time stands still while a step's requests are under way: everything of the step is sent, every answer is awaited, what
was acknowledged is noted, and only then the clock is set to the next step. So the truth knows in which minute each
heartbeat was answered, and the replay runs as fast as the machine allows.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from load_tests.acknowledged import AcceptedScan, Acknowledged
from load_tests.audience import Ending, Plan, PlannedScan, View, steps
from load_tests.beat_lines import BeatLines
from load_tests.http_client import UnexpectedAnswerError
from load_tests.public_interface import Gateway, Ledger
from load_tests.scenario import Programme
from load_tests.tickets import Issuer

Told = TypeVar("Told")

JOINS_AT_ONCE: Final = 32
"""Connections that join at the same time: enough to keep two workers busy, few enough for any backlog."""
TRIES: Final = 6
RETRY_S: Final = 0.25
"""Seats may run out for a moment while a block is granted: a player waits and tries again (503)."""
SCANS_A_BATCH: Final = 500
SETTLE_S: Final = 180
"""The clock goes this far past the last step, so that its window closes and seals."""


@dataclass(slots=True)
class Totals:
    """What was sent and acknowledged so far."""

    heartbeats: int = 0
    joins: int = 0
    leaves: int = 0
    scans: int = 0
    tried_again: int = 0  # joins and batches of scans that were answered 503 at first


@dataclass(slots=True)
class _Playing:
    """A view that is running: the bytes of its next plain heartbeat."""

    view: View
    token: str
    request: bytes
    steady: bool  # never paused, never in the background


@dataclass(frozen=True, slots=True)
class Schedule:
    """The plan by step."""

    joins: dict[int, list[View]]
    reloads: dict[int, list[View]]
    ends: dict[int, list[View]]
    scans: dict[int, list[PlannedScan]]

    @classmethod
    def of(cls, plan: Plan) -> "Schedule":
        """Sort a plan into its steps."""
        joins, reloads, ends = defaultdict(list), defaultdict(list), defaultdict(list)
        for view in plan.views:
            joins[view.joins_at].append(view)
            ends[view.leaves_at].append(view)
            if view.reloads_at:
                reloads[view.reloads_at].append(view)
        scans: dict[int, list[PlannedScan]] = defaultdict(list)
        for scan in plan.scans:
            scans[scan.uploaded_at].append(scan)
            if scan.again_at:
                scans[scan.again_at].append(scan)
        return cls(joins, reloads, ends, scans)


@dataclass(slots=True)
class Replay:
    """Carries out one plan. Owns the running views, the viewing tokens and what was acknowledged."""

    programme: Programme
    plan: Plan
    gateway: Gateway
    ledger: Ledger
    issuer: Issuer
    scanner_key: str
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    totals: Totals = field(default_factory=Totals)
    _tokens: dict[tuple[int, int], str] = field(default_factory=dict)  # of each person's devices, the latest
    _playing: dict[tuple[int, int], _Playing] = field(default_factory=dict)
    _session_ids: dict[int, str] = field(default_factory=dict)

    async def run(self) -> AsyncIterator[int]:
        """Carry the plan out; yields each step's time once all of it is answered, then the time past the end.

        Raises UnexpectedAnswerError at the first answer that a player does not expect, ValueError at the first scan
        that is refused.
        """
        self._session_ids = {session.number: session.id for session in self.programme.sessions}
        schedule = Schedule.of(self.plan)
        at = self.programme.starts_at
        async with BeatLines(self.gateway.address) as lines:
            for at in steps(self.plan, self.programme.interval_s):
                await self.ledger.set_clock(self.programme.iso(at))
                await self._upload(at, schedule.scans.get(at, ()))
                await self._join_all(at, schedule)
                await self._beat(at, lines, schedule.ends.get(at, ()))
                yield at
        at += SETTLE_S
        await self.ledger.set_clock(self.programme.iso(at))
        yield at

    # Scans.

    async def _upload(self, at: int, scans: Sequence[PlannedScan]) -> None:
        for start in range(0, len(scans), SCANS_A_BATCH):
            batch = scans[start : start + SCANS_A_BATCH]
            rows = [self._scan(scan) for scan in batch]
            outcomes = await self._patiently(partial(self.gateway.check_in, rows, self.scanner_key))
            for scan, outcome in zip(batch, outcomes, strict=True):
                self._note_scan(at, scan, outcome)

    def _scan(self, scan: PlannedScan) -> dict[str, Any]:
        return {
            "nonce": scan.nonce,
            "badge": self.issuer.ticket(self.plan.people[scan.person]),
            "gate": scan.gate,
            "direction": scan.direction,
            "scanned_at": self.programme.iso(scan.scanned_at),
            "force": scan.forced,
        }

    def _note_scan(self, at: int, scan: PlannedScan, outcome: dict[str, Any]) -> None:
        self.totals.scans += 1
        if outcome["outcome"] != "accepted":  # the plan has no scan that ought to be refused
            raise ValueError(f"at {self.programme.iso(at)} a scan was not accepted: {scan}: {outcome}")
        self.acknowledged.scans.append(
            AcceptedScan(scan.person, scan.session, scan.gate, scan.nonce, scan.direction, scan.scanned_at)
        )

    # Views.

    async def _join_all(self, at: int, schedule: Schedule) -> None:
        gate = asyncio.Semaphore(JOINS_AT_ONCE)
        joining, reloading = schedule.joins.get(at, ()), schedule.reloads.get(at, ())
        await asyncio.gather(*(self._join(view, at, gate) for view in joining),
                             *(self._reload(view, gate) for view in reloading))  # fmt: skip

    async def _join(self, view: View, at: int, gate: asyncio.Semaphore) -> None:
        device = (view.person, view.device)
        ticket = view.with_ticket or device not in self._tokens
        bearer = self.issuer.ticket(self.plan.people[view.person]) if ticket else self._tokens[device]
        await self._start(view, bearer, gate)
        self.acknowledged.views.append((at, view.person, view.session))

    async def _reload(self, view: View, gate: asyncio.Semaphore) -> None:
        """Load the page again: the same session with the view's own token, so the same view."""
        await self._start(view, self._tokens[view.person, view.device], gate)

    async def _start(self, view: View, bearer: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            session = self._session_ids[view.session]
            token = await self._patiently(partial(self.gateway.join, session, bearer, view.outlet))
        self.totals.joins += 1
        device = (view.person, view.device)
        self._tokens[device] = token
        steady = view.paused == view.background == (0, 0)
        self._playing[device] = _Playing(view, token, self.gateway.beat_request(token), steady)

    async def _patiently(self, ask: Callable[[], Awaitable[Told]]) -> Told:
        """Ask, and again after a while if the answer is 503: both a join and a scan may be sent twice."""
        for _ in range(TRIES - 1):
            try:
                return await ask()
            except UnexpectedAnswerError as error:
                if error.status != 503:
                    raise
            self.totals.tried_again += 1
            await asyncio.sleep(RETRY_S)
        return await ask()

    async def _beat(self, at: int, lines: BeatLines, ending: Iterable[View]) -> None:
        """Send the step's heartbeats and goodbyes, and note the heartbeats that count."""
        goodbyes = [request for view in ending if (request := self._goodbye(view))]
        requests: list[bytes] = []
        persons: list[int] = []
        sessions: list[int] = []
        for playing in self._playing.values():
            view = playing.view
            if not playing.steady:
                state = view.state(at)
                requests.append(self.gateway.beat_request(playing.token, state))
                if state == "a":
                    continue
            else:
                requests.append(playing.request)
            persons.append(view.person)
            sessions.append(view.session)
        if requests or goodbyes:
            await lines.deliver(requests + goodbyes)
        self.acknowledged.beat(at, persons, sessions)
        self.totals.heartbeats += len(requests)
        self.totals.leaves += len(goodbyes)

    def _goodbye(self, view: View) -> bytes:
        """Stop a view; returns the request with which its player says so, b"" for one that falls silent."""
        playing = self._playing.pop((view.person, view.device))
        if view.ending is Ending.LEAVE:
            return self.gateway.leave_request(playing.token)
        return self.gateway.beat_request(playing.token, "e") if view.ending is Ending.ENDED else b""
