"""People whose heartbeats are known one by one: what was acknowledged, and what was so much as attempted.

A heartbeat counts in the window of the server's clock, which this process shares (one clock file). Between sending and
answer the clock may move on; then the heartbeat is in one of the windows from the one to the other, and the truth says
so. One that was broken off may have been recorded or not, until then; one that nobody waited for any longer, at any
time since. What was refused was not attempted: it must not be found.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from typing import Self

from counters.clock import SimulatedClock
from counters.segment import WINDOW_S
from gateway.viewing_token import TokenKeys
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import Answer, Connection, request_bytes, until

GIVE_UP_S = 2.0
"""A player waits this long for an answer: a paused worker holds a thread of players up for no longer."""
Place = tuple[int, int]
"""(session number, window)."""
BROKEN = (OSError, AssertionError, HTTPException)


@dataclass(slots=True)
class Player:
    """One person's player in one session, at one gateway. A thread at a time plays it."""

    name: str  # of the person: whoever has the same name holds the same ticket
    session: str
    gateway: int
    token: bytes
    seat: int
    number: int  # of the session
    request: bytes = b""  # the heartbeat


@dataclass(frozen=True, slots=True)
class Straddling:
    """An acknowledged heartbeat that is in one of several windows."""

    session: int
    seat: int
    sent: int  # window
    answered: int  # window


@dataclass(slots=True)
class Truth:
    """What the players know. Owned by the crowd, which locks it."""

    acknowledged: defaultdict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Seats with a heartbeat that was answered 204, where there is no doubt about the window."""
    attempted: defaultdict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Seats with a heartbeat that may be in the window, the acknowledged included."""
    straddling: list[Straddling] = field(default_factory=list)
    given_up: dict[tuple[int, int], int] = field(default_factory=dict)
    """(session, seat) -> the first window from which on an abandoned heartbeat may still come to be recorded."""
    joined: set[int] = field(default_factory=set)  # seats whose join was answered 201
    unanswered_joins: int = 0
    people: dict[int, str] = field(default_factory=dict)  # seat -> name
    answers: Counter[int] = field(default_factory=Counter)  # heartbeats by status
    broken: int = 0  # heartbeats that were sent, and never answered
    refused_connections: int = 0

    def may_be(self, session: int, window: int, seat: int) -> bool:
        """Whether a seat may be in the evidence of a window."""
        return seat in self.attempted[session, window] or self.given_up.get((session, seat), window + 1) <= window

    @property
    def beats(self) -> int:
        """Heartbeats that were acknowledged."""
        return self.answers[HTTPStatus.NO_CONTENT]


class Crowd:
    """The people of one rig. Owns the truth and the players' connections."""

    def __init__(
        self, clock: SimulatedClock, keys: TokenKeys, ports: Callable[[int], int], mint: Callable[[str], str]
    ) -> None:
        """Play against gateways.

        Args:
            clock: the event's clock.
            keys: to read the seats out of viewing tokens.
            ports: the port of a gateway by its number.
            mint: the ticket of a person, valid now.
        """
        self._clock = clock
        self._keys = keys
        self._port = ports
        self._mint = mint
        self._lock = threading.Lock()
        self.truth = Truth()
        self.sending = 0
        """Heartbeats on their way: sent, or about to be, and not answered."""
        self.players: list[Player] = []

    def window(self) -> int:
        """The window that it is now."""
        return int(self._clock.now()) // WINDOW_S * WINDOW_S

    # Joining.

    def join(
        self, people: int | Sequence[str], session: str = "opening", gateway: int = 0, *, event: str = "expo"
    ) -> list[Player]:
        """Let people join, all of whom must be let in: so many new ones, or those of the names."""
        names = [f"person {len(self.players) + n}" for n in range(people)] if isinstance(people, int) else people
        with Lines(self._port) as lines:
            joined = []
            for name in names:
                player = self.try_join(name, session, gateway, lines, event=event)
                assert isinstance(player, Player), player
                joined.append(player)
        return joined

    def try_join(
        self, name: str, session: str, gateway: int, lines: "Lines", *, event: str = "expo"
    ) -> Player | Answer | None:
        """Let one person join; return the player, else the refusal, else None if there was no answer."""
        with self._lock:
            headers = {"Authorization": f"Bearer {self._mint(name)}"}
        request = request_bytes("POST", f"/v1/events/{event}/sessions/{session}/join", b"", headers)
        try:
            answer = lines.ask(gateway, request)
        except BROKEN:
            with self._lock:
                self.truth.unanswered_joins += 1
            return None
        if answer.status != HTTPStatus.CREATED:
            return answer
        player = self._read(answer, name, session, gateway)
        with self._lock:
            self.truth.joined.add(player.seat)
            self.truth.people[player.seat] = name
            self.players.append(player)
        return player

    def _read(self, answer: Answer, name: str, session: str, gateway: int) -> Player:
        token = answer.json["token"].encode()
        fields = self._keys.open(token)
        beat = request_bytes("POST", "/v1/beat", token)
        return Player(name, session, gateway, token, fields.seat, fields.session, beat)

    # Playing.

    def beat(self, players: Sequence[Player] | None = None, *, give_up_s: float = GIVE_UP_S) -> int:
        """Send one heartbeat for each player, now; return how many were acknowledged."""
        with Lines(self._port, give_up_s) as lines:
            return sum(self._beat(player, lines) for player in (self.players if players is None else players))

    @contextmanager
    def playing(
        self, players: Sequence[Player] | None = None, *, threads: int = 3, pause_s: float = 0.004
    ) -> Iterator[None]:
        """Send heartbeats in the background, around and around, each thread one every `pause_s` at most."""
        everybody = list(self.players if players is None else players)
        halt = threading.Event()
        failed: list[BaseException] = []

        def play(mine: Sequence[Player]) -> None:
            try:
                with Lines(self._port) as lines:
                    while not halt.is_set():
                        for player in mine:
                            if halt.wait(pause_s):
                                return
                            self._beat(player, lines)
            except BaseException as error:  # noqa: BLE001 - it is the test's to raise
                failed.append(error)

        started = [threading.Thread(target=play, args=(everybody[n::threads],)) for n in range(threads)]
        for thread in started:
            thread.start()
        try:
            yield
        finally:
            halt.set()
            for thread in started:
                thread.join(CERTAIN_S)
        assert not any(thread.is_alive() for thread in started)
        if failed:
            raise failed[0]

    def until_heard(self, more: int | None = None, *, players: Sequence[Player] | None = None) -> None:
        """Wait until so many more heartbeats (three for each player) were acknowledged while it plays."""
        count = 3 * len(self.players if players is None else players) if more is None else more
        wanted = self.truth.beats + count
        until(lambda: self.truth.beats >= wanted, f"{count} more heartbeats are acknowledged", CERTAIN_S)

    def until_everybody_is_heard(self, players: Sequence[Player] | None = None) -> None:
        """Wait until everybody has been acknowledged in the window that it is now, while it plays."""
        everybody = self.players if players is None else players

        def heard() -> bool:
            window = self.window()
            with self._lock:
                return all(p.seat in self.truth.acknowledged[p.number, window] for p in everybody)

        until(heard, "everybody is acknowledged in this window", CERTAIN_S)

    def _beat(self, player: Player, lines: "Lines") -> bool:
        """Send a heartbeat and note what became of it; whether it was acknowledged."""
        try:
            lines.open(player.gateway)
        except OSError:
            with self._lock:
                self.truth.refused_connections += 1
            return False
        sent = self.window()
        self._note_sending(+1)
        try:
            answer = lines.ask(player.gateway, player.request)
        except BROKEN as error:
            self._note_broken(player, sent, abandoned=isinstance(error, TimeoutError))
            return False
        finally:
            self._note_sending(-1)
        answered = self.window()
        with self._lock:
            self.truth.answers[answer.status] += 1
            if answer.status == HTTPStatus.NO_CONTENT:
                self._note_acknowledged(player, sent, answered)
        return answer.status == HTTPStatus.NO_CONTENT

    def _note_sending(self, more: int) -> None:
        with self._lock:
            self.sending += more

    def _note_acknowledged(self, player: Player, sent: int, answered: int) -> None:
        if sent == answered:
            self.truth.acknowledged[player.number, sent].add(player.seat)
        else:
            self.truth.straddling.append(Straddling(player.number, player.seat, sent, answered))
        for window in range(sent, answered + 1, WINDOW_S):
            self.truth.attempted[player.number, window].add(player.seat)

    def _note_broken(self, player: Player, sent: int, *, abandoned: bool) -> None:
        place = (player.number, player.seat)
        with self._lock:
            self.truth.broken += 1
            for window in range(sent, self.window() + 1, WINDOW_S):
                self.truth.attempted[player.number, window].add(player.seat)
            if abandoned:
                # It lies in the socket of a worker that hangs, and is read when that goes on.
                self.truth.given_up[place] = min(sent, self.truth.given_up.get(place, sent))


class Lines:
    """A player's keep-alive connections, one to each gateway; one that breaks is opened again. Use as a context."""

    def __init__(self, ports: Callable[[int], int], give_up_s: float = GIVE_UP_S) -> None:
        self._port = ports
        self._give_up_s = give_up_s
        self._open: dict[int, Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in list(self._open):
            self._close(gateway)

    def open(self, gateway: int) -> Connection:
        """Return the connection.

        Raises:
            OSError: nobody takes it; nothing was sent.
        """
        if gateway not in self._open:
            self._open[gateway] = Connection(self._port(gateway))
            self._open[gateway].socket.settimeout(self._give_up_s)
        return self._open[gateway]

    def ask(self, gateway: int, request: bytes) -> Answer:
        """Send a request and return its answer.

        Raises:
            OSError, AssertionError, HTTPException: none came; what was sent may have been heard.
        """
        try:
            line = self.open(gateway)
            line.send(request)
            (answer,) = line.read_answers(1)
        except BaseException:
            self._close(gateway)
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self._close(gateway)
        return answer

    def _close(self, gateway: int) -> None:
        if gateway in self._open:
            self._open.pop(gateway).close()
