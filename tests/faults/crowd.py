"""People whose heartbeats are known one by one. They speak HTTP/1.1 over keep-alive connections, at once or all along.

A connection that breaks is opened again. One that brings no answer is parked and looked at from time to time, while its
player goes on with another: when the paused worker behind it goes on, the answer is noted as any other.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from counters.clock import SimulatedClock
from counters.segment import WINDOW_S
from gateway.reasons import Reason
from gateway.viewing_token import TokenKeys
from tests.faults.player_lines import BROKEN, GIVE_UP_S, HangingError, Lines, read_answer, with_news
from tests.faults.truth import Truth
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import Answer, Connection, request_bytes, until

LINGER_S = 5.0
"""Who stops playing waits this long for the answers that are still out."""


@dataclass(slots=True)
class Player:
    """One person's player in one session, at one gateway. A thread at a time plays it."""

    name: str  # of the person: whoever has the same name holds the same ticket
    session: str
    gateway: int
    token: bytes
    seat: int
    number: int  # of the session
    request: bytes  # the heartbeat
    refused: int = 0  # status of the last answer, if it was a refusal


@dataclass(frozen=True, slots=True)
class _Parked:
    """A heartbeat that was sent and not answered yet."""

    line: Connection
    player: Player
    sent: int  # window


class Crowd:
    """The people of one rig. Owns the truth; what players say and hear is noted under its lock."""

    def __init__(
        self, clock: SimulatedClock, keys: TokenKeys, ports: Callable[[int], int], mint: Callable[[str], str]
    ) -> None:
        """Play against gateways.

        Args:
            clock: the event's clock, which this process shares with the server's.
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
        """Heartbeats on their way: about to be sent or sent, and not answered."""
        self.players: list[Player] = []
        self.tickets: dict[str, list[str]] = {}
        """What each person has joined with, or tried to."""

    def window(self) -> int:
        """The window that it is now."""
        return int(self._clock.now()) // WINDOW_S * WINDOW_S

    # Joining.

    def join(
        self, people: int | Sequence[str], session: str = "opening", gateway: int = 0, *, at_once: bool = False
    ) -> list[Player]:
        """Let people join, all of whom must be let in: so many new ones, or those of the names.

        Who is told that no seats are leased yet comes again, as a player does: where the ledger takes seconds for its
        first answer workers serve without. `at_once`: nobody may be told so.
        """
        known = len(self.players)
        names = [f"person {known + n}" for n in range(people)] if isinstance(people, int) else people
        with Lines(self._port, CERTAIN_S) as lines:
            joined = [self._come(name, session, gateway, lines, again=not at_once) for name in names]
        let_in = [each for each in joined if isinstance(each, Player)]
        assert len(let_in) == len(names), [each for each in joined if not isinstance(each, Player)][:3]
        return let_in

    def _come(self, name: str, session: str, gateway: int, lines: Lines, *, again: bool) -> Player | Answer | None:
        until_s = time.monotonic() + CERTAIN_S
        while True:
            joined = self.try_join(name, session, gateway, lines)
            unseated = isinstance(joined, Answer) and joined.reason == Reason.SEATS_EXHAUSTED.label
            if not unseated or not again or time.monotonic() > until_s:
                return joined
            time.sleep(0.05)

    def try_join(self, name: str, session: str, gateway: int, lines: Lines) -> Player | Answer | None:
        """Let one person join; return the player, else the refusal, else None if there was no answer."""
        request = self.join_request(name, session)
        try:
            answer = lines.ask(gateway, request)
        except HangingError as hanging:
            hanging.parked.close()
        except BROKEN:
            pass
        else:
            return self._let_in(answer, name, session, gateway) if answer.status == HTTPStatus.CREATED else answer
        with self._lock:
            self.truth.unanswered_joins += 1
        return None

    def join_request(self, name: str, session: str = "opening") -> bytes:
        """Return the request with which a person joins."""
        with self._lock:
            ticket = self._mint(name)
            self.tickets.setdefault(name, []).append(ticket)
        headers = {"Authorization": f"Bearer {ticket}"}
        return request_bytes("POST", f"/v1/events/expo/sessions/{session}/join", b"", headers)

    def seat_of(self, answer: Answer) -> int:
        """Return the seat that an answered join granted."""
        return self._keys.open(answer.json["token"].encode()).seat

    def _let_in(self, answer: Answer, name: str, session: str, gateway: int) -> Player:
        token = answer.json["token"].encode()
        fields = self._keys.open(token)
        player = Player(
            name, session, gateway, token, fields.seat, fields.session, request_bytes("POST", "/v1/beat", token)
        )
        with self._lock:
            self.truth.note_joined(player.seat, name)
            self.players.append(player)
        return player

    # Playing.

    def beat(self, players: Sequence[Player] | None = None, *, give_up_s: float = GIVE_UP_S) -> int:
        """Send one heartbeat for each player, now; return how many were acknowledged."""
        before = self.truth.beats
        with self._playing(give_up_s) as play:
            for player in self.players if players is None else players:
                play(player)
        return self.truth.beats - before

    @contextmanager
    def playing(
        self, players: Sequence[Player] | None = None, *, threads: int = 3, pause_s: float = 0.004
    ) -> Iterator[None]:
        """Send heartbeats in the background, around and around, each thread one every `pause_s` at most.

        Args:
            players: who; None = all that there are, those who join meanwhile included.
            threads: how many players speak at once.
            pause_s: real seconds.
        """
        halt = threading.Event()
        failed: list[BaseException] = []

        def work(place: int) -> None:
            try:
                with self._playing(GIVE_UP_S) as play:
                    while not halt.wait(pause_s):
                        for player in (self.players if players is None else players)[place::threads]:
                            play(player)
                            if halt.wait(pause_s):
                                return
            except BaseException as error:  # noqa: BLE001 - it is the test's to raise
                failed.append(error)

        started = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
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

    def until_heard(self, more: int | None = None) -> None:
        """Wait until so many more heartbeats (three for each player) were acknowledged while it plays."""
        count = 3 * len(self.players) if more is None else more
        wanted = self.truth.beats + count
        until(lambda: self.truth.beats >= wanted, f"{count} more heartbeats are acknowledged", CERTAIN_S)

    def until_everybody_is_heard(self, players: Sequence[Player] | None = None) -> None:
        """Wait until everybody has been acknowledged in the window that it is now, while it plays."""

        def heard() -> bool:
            window = self.window()
            with self._lock:
                return all(
                    player.seat in self.truth.acknowledged[player.number, window]
                    for player in (self.players if players is None else players)
                )

        until(heard, "everybody is acknowledged in this window", CERTAIN_S)

    @contextmanager
    def _playing(self, give_up_s: float) -> Iterator[Callable[[Player], None]]:
        """Give a function that sends one heartbeat and notes what becomes of it: for one thread."""
        parked: list[_Parked] = []
        with Lines(self._port, give_up_s) as lines:

            def play(player: Player) -> None:
                if parked:
                    self._look_at(parked, 0.0)
                self._play(player, lines, parked)

            try:
                yield play
            finally:
                while parked and self._look_at(parked, LINGER_S):
                    pass
                for each in parked:
                    each.line.close()
                    with self._lock:
                        self.truth.note_given_up(each.player.number, each.player.seat, each.sent)

    def _play(self, player: Player, lines: Lines, parked: list[_Parked]) -> None:
        try:
            lines.open(player.gateway)
        except OSError:
            with self._lock:
                self.truth.refused_connections += 1
            return
        sent = self.window()
        with self._lock:
            self.sending += 1
        try:
            answer = lines.ask(player.gateway, player.request)
        except HangingError as hanging:
            parked.append(_Parked(hanging.parked, player, sent))
        except BROKEN:
            self._note(player, sent, None)
        else:
            self._note(player, sent, answer)
        finally:
            with self._lock:
                self.sending -= 1

    def _look_at(self, parked: list[_Parked], wait_s: float) -> bool:
        """Note what parked connections have brought by now; whether there was any news."""
        news = list(with_news([each.line for each in parked], wait_s))
        for each in [each for each in parked if each.line in news]:
            parked.remove(each)
            try:
                answer = read_answer(each.line)
            except BROKEN:
                self._note(each.player, each.sent, None)
            else:
                self._note(each.player, each.sent, answer)
            each.line.close()
        return bool(news)

    def _note(self, player: Player, sent: int, answer: Answer | None) -> None:
        now = self.window()
        with self._lock:
            if answer is None:
                self.truth.note_broken(player.number, player.seat, sent, now)
                return
            player.refused = 0 if answer.status == HTTPStatus.NO_CONTENT else answer.status
            self.truth.note_answered(player.number, player.seat, sent, now, answer.status)
