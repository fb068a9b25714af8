"""A virtual player: one device that joins, beats, pauses, is cut off and comes back, on the wall clock.

It does what a player in a browser does (docs/glossary.md has the words): joins with its ticket or its viewing token,
waits as long as Retry-After says when it is told to, beats every interval that the gateway announced give or take a
tenth, connects again when its connection broke, joins again when its token is refused. What it sees of the gateway's
answers goes into the run's acknowledgements, latencies and tally.
"""

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from load_tests.acknowledged import MINUTE_S
from load_tests.acknowledgements import Acknowledgements
from load_tests.audience import Ending
from load_tests.http_client import Address, Answer
from load_tests.itineraries import Itinerary, Stretch
from load_tests.latencies import Latency
from load_tests.player_line import PlayerLine, now
from load_tests.scenario import ProgrammeItem

GUARD_S: Final = 1.0
"""No heartbeat is scheduled so shortly before a minute's edge: its answer might come after it."""
JITTER: Final = (0.9, 1.1)
PAUSE_S: Final = (0.2, 1.0)
"""Before another try after a join broke or a gateway could not be reached."""
SHOWN_ANSWERS: Final = 20
OUT_OF_THE_BLUE: Final = "out of the blue"
AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
)


@dataclass(slots=True)
class Run:
    """What the players of one run share. Owned by `load_tests.crowd`."""

    gateway: Address
    event: str
    sessions: tuple[ProgrammeItem, ...]  # by place
    tickets: tuple[str, ...]  # by person
    interval_s: int
    started_at: float  # unix s
    ends_at: float  # unix s: whatever happens, players stop
    clock_slack_s: float
    acknowledged: Acknowledgements
    heartbeats: Latency = field(default_factory=lambda: Latency("heartbeats"))
    joins: Latency = field(default_factory=lambda: Latency("joins"))
    lateness: Latency = field(default_factory=lambda: Latency("lateness"))
    """How late this load generator itself sent: from the scheduled time to the sending."""
    tally: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    warm_s: float = 0.0
    """A player connects up to so long before its first join."""
    back_within_s: float = 1.0
    """A player whose connection broke beats again within this time."""
    disturbed_until: float = 0.0
    """Until then (unix s) broken connections are the scenario's doing."""

    def broke(self, what: str) -> None:
        """Note something that broke: as part of the scenario, or out of the blue."""
        self.tally[what if now() < self.disturbed_until else f"{what} {OUT_OF_THE_BLUE}"] += 1

    def surprise(self, request: str, answer: Answer) -> None:
        """Note an answer that no player expects; the first few are shown."""
        self.tally["unexpected answers"] += 1
        if len(self.unexpected) < SHOWN_ANSWERS:
            self.unexpected.append(f"{request} was answered {answer.status}: {answer.body[:300].decode('latin-1')}")


def guarded(at: float, slack_s: float) -> float:
    """Return when to send what was to be sent `at`: the same, or after a minute's edge that is too near.

    What falls before the edge comes as much later as the forbidden span is long, so that a crowd stays spread.
    """
    forbidden_s = GUARD_S + 2 * slack_s
    into_minute = (at + GUARD_S + slack_s) % MINUTE_S
    return at + forbidden_s if into_minute < forbidden_s else at


class VirtualPlayer:
    """One device. Owns its connection and its viewing token."""

    def __init__(self, itinerary: Itinerary, run: Run, seed: int) -> None:
        self._itinerary = itinerary
        self._run = run
        self._rng = random.Random(f"{seed}/{itinerary.person}/{itinerary.device}")
        self._line: PlayerLine | None = None
        self._token = ""
        self._token_session = 0
        self._wake: asyncio.Future[None] | None = None
        self._hurry = False
        self._agent = AGENTS[self._rng.randrange(len(AGENTS))]

    async def play(self) -> None:
        """Do what the itinerary says."""
        run = self._run
        try:
            if run.warm_s:
                await self._warm_up(run.started_at + self._itinerary.stretches[0].joins_at)
            for stretch in self._itinerary.stretches:
                if not await self._watch(stretch):
                    return
        finally:
            if self._line is not None:
                self._line.close()
            run.tally["players done"] += 1

    def cut(self) -> None:
        """Lose the connection."""
        if self._line is not None:
            self._line.cut()

    async def _warm_up(self, joins_at: float) -> None:
        """Connect some time before the join; if it does not work, the join tries again."""
        await self._sleep_until(joins_at - self._rng.uniform(0.0, self._run.warm_s), hurry=False)
        with contextlib.suppress(OSError, TimeoutError):
            await self._connected()

    # Watching.

    async def _watch(self, stretch: Stretch) -> bool:
        """Watch one stretch; returns whether the player goes on to the next."""
        run = self._run
        scheduled = await self._sleep_until(max(run.started_at + stretch.joins_at, now()), hurry=False)
        if not await self._join(stretch, scheduled, with_ticket=stretch.with_ticket or not self._token):
            return False
        # Who was kept waiting at the door still watches for a moment.
        leaves_at = min(max(run.started_at + stretch.leaves_at, now() + run.interval_s), run.ends_at)
        at = now()
        while True:
            at = await self._sleep_until(guarded(at, run.clock_slack_s))
            if at >= leaves_at:
                break
            pause_s = await self._beat(stretch, at)
            if pause_s is None:
                return False
            at += pause_s
        await self._say_goodbye(stretch)
        return True

    async def _say_goodbye(self, stretch: Stretch) -> None:
        if stretch.ending is Ending.SILENCE:
            if self._line is not None:
                self._line.close()
            return
        path, body = ("/v1/leave", self._token) if stretch.ending is Ending.LEAVE else ("/v1/beat", f"{self._token} e")
        try:
            answer = await (await self._connected()).ask(self._post(path, body))
        except (OSError, TimeoutError):
            self._run.tally["goodbyes without an answer"] += 1  # a courtesy: nothing is counted by it
            return
        if answer.status == 204:
            self._run.tally["goodbyes"] += 1
        else:
            self._run.surprise(f"POST {path}", answer)

    async def _beat(self, stretch: Stretch, at: float) -> float | None:
        """Send the heartbeat that was scheduled `at`; returns the seconds until the next one, None to give up."""
        run, person, session = self._run, self._itinerary.person, self._run.sessions[stretch.place].number
        state = stretch.state(at - run.started_at)
        sent_at = 0.0
        try:
            line = await self._connected()
            sent_at = now()
            answer = await line.ask(self._post("/v1/beat", self._token if state == "p" else f"{self._token} {state}"))
        except (OSError, TimeoutError, ValueError):
            if sent_at and state != "a":
                run.acknowledged.unanswered_heartbeat(person, session, sent_at, now())
            run.broke("broken heartbeats" if sent_at else "broken connects")
            return max(now() - at, 0.0) + self._rng.uniform(0.0, run.back_within_s)
        run.lateness.record(sent_at - at)
        if answer.status == 204:
            if state != "a":
                run.acknowledged.heartbeat(person, session, sent_at, line.answered_at)
            run.tally["heartbeats"] += 1
            run.heartbeats.record(line.answered_at - at)
            interval_s = float(answer.headers.get("turnout-interval", run.interval_s))
            return interval_s * self._rng.uniform(*JITTER)
        if answer.status in {429, 503} and "retry-after" in answer.headers:
            run.tally["heartbeats turned away"] += 1
            return max(now() - at, 0.0) + float(answer.headers["retry-after"])
        if answer.status in {401, 410}:
            run.tally["tokens refused"] += 1
            return run.interval_s if await self._join(stretch, now(), with_ticket=True) else None
        run.surprise("POST /v1/beat", answer)
        return None

    # Joining.

    async def _join(self, stretch: Stretch, scheduled: float, *, with_ticket: bool) -> bool:
        """Join, however often it takes; returns whether the player is in."""
        run, person = self._run, self._itinerary.person
        session = run.sessions[stretch.place]
        path = f"/v1/events/{run.event}/sessions/{quote(session.id)}/join"
        told_to_wait = False
        while now() < run.ends_at:
            opens_view = with_ticket or self._token_session != session.number
            sent = False
            try:
                line = await self._connected()
                sent = True
                bearer = run.tickets[person] if with_ticket else self._token
                answer = await line.ask(self._post(path, "", bearer))
            except (OSError, TimeoutError, ValueError):
                if sent and opens_view:
                    run.acknowledged.unanswered_view(person, session.number, now())
                run.broke("broken joins" if sent else "broken connects")
                await asyncio.sleep(self._rng.uniform(*PAUSE_S))
                continue
            if answer.status == 201:
                self._token, self._token_session = answer.json()["token"], session.number
                if opens_view:
                    run.acknowledged.view(person, session.number, line.answered_at)
                run.tally["joins with a ticket" if with_ticket else "joins with a viewing token"] += 1
                run.tally["players let in after a wait"] += told_to_wait
                run.joins.record(line.answered_at - scheduled)
                return True
            if answer.status in {429, 503} and "retry-after" in answer.headers:
                told_to_wait = True
                run.tally["joins told to wait"] += 1
                await asyncio.sleep(float(answer.headers["retry-after"]) + self._rng.random())
            elif answer.status in {401, 410} and not with_ticket:
                run.tally["tokens refused"] += 1
                with_ticket = True
            else:
                run.surprise(f"POST {path}", answer)
                return False
        run.tally["players never let in"] += 1
        return False

    # Time and connection.

    async def _sleep_until(self, at: float, *, hurry: bool = True) -> float:
        """Sleep until `at`; returns that time, or an earlier one if the connection broke meanwhile."""
        loop = asyncio.get_running_loop()
        while (remaining_s := at - now()) > 0:
            self._wake = loop.create_future()
            timer = loop.call_later(remaining_s, self._wake_up)
            try:
                await self._wake
            finally:
                timer.cancel()
                self._wake = None
            if self._hurry and hurry:
                self._hurry = False
                soon = guarded(now() + self._rng.uniform(0.0, self._run.back_within_s), self._run.clock_slack_s)
                at = min(at, soon)
        self._hurry = False
        return at

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _on_lost(self) -> None:
        self._run.tally["connections lost"] += 1
        self._hurry = True
        self._wake_up()

    async def _connected(self) -> PlayerLine:
        if self._line is None or not self._line.usable:
            self._line = await PlayerLine.open(self._run.gateway, self._on_lost)
            self._run.tally["connections"] += 1
        return self._line

    def _post(self, path: str, body: str, bearer: str = "") -> bytes:
        """Return a request with the headers that a browser sends."""
        address = self._run.gateway
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {address.host}:{address.port}",
            "Connection: keep-alive",
            f"Content-Length: {len(body)}",
            f"User-Agent: {self._agent}",
        ]
        if bearer:
            lines.append(f"Authorization: Bearer {bearer}")
        if body:
            lines.append("Content-Type: text/plain;charset=UTF-8")
        lines += [
            "Accept: */*",
            "Origin: https://stream.example",
            "Referer: https://stream.example/",
            "Accept-Encoding: gzip, deflate",
            "Accept-Language: en-GB,en;q=0.9",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
