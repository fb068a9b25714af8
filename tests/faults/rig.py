"""The fault rig: one event in parts, real processes that a test may break, and a crowd that knows what it was told.

    with Rig(tmp_path, redis_program, gateways=2) as rig:
        rig.jump(WINDOW)                        # the simulated clock, shared by all
        rig.crowd.join(40)                      # forty people, at gateway 0
        with rig.crowd.playing():               # they send heartbeats in the background
            rig.crowd.until_heard()
            rig.gateways[0].kill()              # .pause() .resume() .stop() .start(): so has every part
            rig.gateways[0].start()
            rig.crowd.until_heard()
        held = rig.hold()                       # everything over, sealed, compared seat by seat, certified, verified

Parts: `rig.ledger`, `rig.redis`, `rig.gateways[i]` (tests.faults.parts). A gateway reaches ledger and Redis over lines
of its own, `rig.ledger_line[i]` and `rig.redis_line[i]` (tests.faults.loopback_line): `.cut() .hang() .heal()`.
Whatever happens in a test, every process is ended by its id when the rig is left, and what each said last is printed.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from subprocess import CompletedProcess
from types import TracebackType
from typing import Any, Self

from counters.clock import SimulatedClock
from counters.secrets import load_or_create_secrets
from counters.segment import WINDOW_S
from deploy.embedded_redis import ServerProgram
from gateway.development_issuer import DevelopmentIssuer, load_event_creating_keys
from gateway.settings import GatewaySettings
from gateway.viewing_token import TokenKeys
from tests.faults import reckoning
from tests.faults.crowd import Crowd
from tests.faults.loopback_line import LineKeeper
from tests.faults.parts import GatewayPart, LedgerPart, Part, RedisPart
from tests.faults.reckoning import Found, Held, unix_s
from tests.gateway.commands import CERTAIN_S, turnout
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import Answer, until

STARTS_AT = "2023-11-19T08:59:00+08:00"
WINDOW = unix_s("2023-11-19T09:00:00+08:00")
"""The first scheduled window of `EVENT_FILE`."""


class Rig:
    """The parts of one event, its clock, its lines and its crowd. Owns them all; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        redis_program: ServerProgram,
        *,
        gateways: int = 1,
        workers: int = 2,
        event: str = EVENT_FILE,
        starts_at: str = STARTS_AT,
        speed: float = 0.0,
    ) -> None:
        """Prepare in a folder of its own; entering it starts everything.

        Args:
            folder: where everything lies: expo.toml, data/, spool-g0/, redis/, and what each part said.
            redis_program: the server to use.
            gateways: how many, named g0, g1 …
            workers: of each gateway.
            event: the event file without [simulation].
            starts_at: what the clock says at first.
            speed: 0 = the clock stands still until `jump`; otherwise simulated seconds per second.
        """
        self.folder = folder
        self.data = folder / "data"
        self.event_file = folder / "expo.toml"
        simulation = f"[simulation]\nstarts_at = {starts_at}\n" + (f"speed = {speed}\n" if speed else "")
        self.event_file.write_text(event + simulation, encoding="utf-8")
        self.event = load_event_creating_keys(self.event_file, self.data / "development-issuer")
        self.secrets = load_or_create_secrets(self.data / "secrets.json")
        self.clock = SimulatedClock.create(self.data / "clock", unix_s(starts_at), speed)
        self.redis = RedisPart(folder, redis_program)
        self.ledger = LedgerPart(folder, self.event_file, self.data, self.redis.url)
        self._exit = ExitStack()
        self._keeper = LineKeeper()
        self._exit.callback(self._keeper.close)
        try:
            self.ledger_line = [self._keeper.line(lambda: self.ledger.port) for _ in range(gateways)]
            self.redis_line = [self._keeper.line(lambda: self.redis.port) for _ in range(gateways)]
        except BaseException:
            self._exit.close()
            raise
        self.gateways = [GatewayPart(folder, self._gateway_config(place, workers)) for place in range(gateways)]
        issuer = DevelopmentIssuer.load(self.data / "development-issuer", "tickets")
        self.crowd = Crowd(
            self.clock,
            TokenKeys.derive(self.secrets, self.event.id),
            lambda place: self.gateways[place].port,
            lambda name: issuer.mint(self.event.issuers[0], name, now=self.clock.now()),
        )
        self.log_key = ""
        self._manifests: dict[str, frozenset[str]] = {}

    def _gateway_config(self, place: int, workers: int) -> GatewaySettings:
        redis_url = f"redis://127.0.0.1:{self.redis_line[place].port}/0"
        return GatewaySettings(
            event_file=str(self.event_file), secrets_file=str(self.data / "secrets.json"),
            spool=str(self.folder / f"spool-g{place}"), registry_url=redis_url, live_url=redis_url,
            ledger_url=f"http://127.0.0.1:{self.ledger_line[place].port}", host="127.0.0.1", port=0,
            metrics_host="127.0.0.1", metrics_port=0, workers=workers, gateway=f"g{place}",
            clock_file=str(self.data / "clock"), ready_file=str(self.folder / f"g{place}.json"),
        )  # fmt: skip

    @property
    def parts(self) -> list[Part]:
        return [self.redis, self.ledger, *self.gateways]

    # Life.

    def __enter__(self) -> Self:
        try:
            for part in self.parts:
                self._exit.callback(part.end)
                part.start()
            self.log_key = self.ledger.log_key
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Joined by the crowd's own contexts before: nobody plays any more.
        self._exit.close()
        if error is not None:
            for part in self.parts:
                print(f"--- {part.name} said last ({part.said}):\n{part.last_words()}")  # noqa: T201 - pytest shows it

    # Time.

    def jump(self, now: float) -> None:
        """Set the clock, for everybody at once and whether the ledger lives or not."""
        self.clock.jump(now)

    def next_window(self) -> int:
        """Jump to the beginning of the next window; return it."""
        window = self.crowd.window() + WINDOW_S
        self.jump(window)
        return window

    # Asking.

    def organise(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Ask the ledger as the organiser."""
        return self.ledger.ask(method, path, body, {"Authorization": f"Bearer {self.secrets.organiser_key}"})

    def turnout(self, *arguments: str | Path) -> CompletedProcess[str]:
        """Run a command of `turnout` in the rig's folder."""
        return turnout(*arguments, cwd=self.folder)

    def leaves(self) -> list[dict[str, Any]]:
        """The entries of the log as it is published now; the log is checked whole."""
        return [json.loads(entry) for entry in reckoning.read_log(self.data, self.log_key).entries()]

    def sealed(self) -> set[int]:
        """The windows that have a leaf."""
        return {unix_s(leaf["window"]) for leaf in self.leaves() if leaf["type"] == "window"}

    def found(self) -> Found:
        """What the log seals by now."""
        return reckoning.find(self.data, reckoning.read_log(self.data, self.log_key))

    # The end.

    def settle(self, patience_s: float = CERTAIN_S) -> None:
        """Wait until every window that is over is handed over by every gateway that lives, and sealed."""
        until(lambda: not self._unsettled(), "everything that is over is sealed", patience_s)

    def _unsettled(self) -> str:
        """What still waits; "" if nothing does."""
        over = self.crowd.window()
        for gateway in self.gateways:
            if gateway.running and (waiting := gateway.waiting(before=over)):
                return f"{gateway.name} has not handed over {waiting[0]}"
        leaves = self.leaves()
        sealed = {unix_s(leaf["window"]) for leaf in leaves if leaf["type"] == "window"}
        expected = set(self.event.scheduled_windows()) | {window for _, window in self.crowd.truth.acknowledged}
        if waits := sorted(window for window in expected - sealed if window < over):
            return f"window {waits[0]} has no leaf"
        named = set().union(
            *(self._named_by(leaf["manifest_sha256"]) for leaf in leaves if leaf["type"] in {"window", "late"})
        )
        reports = (self.data / "ledger" / "reports.jsonl").read_bytes().splitlines()
        rows = [json.loads(line) for line in reports if line.endswith(b"}")]
        return next(
            (f"no leaf names {digest}" for row in rows if row["window"] < over for digest in row["segments"]
             if digest not in named), "",
        )  # fmt: skip

    def _named_by(self, manifest: str) -> frozenset[str]:
        if manifest not in self._manifests:
            files = json.loads((self.data / "evidence" / manifest).read_bytes())["evidence"]
            self._manifests[manifest] = frozenset(file["sha256"] for file in files)
        return self._manifests[manifest]

    def finish(self) -> Found:
        """End the event in order; every part must run, every line be whole. Return what its log seals, checked whole.

        Gateways drain and end with code 0, no spool holds anything, and what is over is sealed.
        """
        for gateway in self.gateways:
            assert gateway.running, f"{gateway.name} does not run: start it, so that its spool is carried"
            gateway.until_serving()
        self.settle()
        codes = [gateway.stop() for gateway in self.gateways]
        assert codes == [0] * len(codes), f"gateways ended with {codes}"
        for gateway in self.gateways:
            assert not gateway.waiting(), f"left in the spool: {gateway.waiting()}"
        self.next_window()
        self.settle()
        assert self.ledger.stop() == 0
        return self.found()

    def hold(self) -> Held:
        """End the event in order and check that everything holds.

        Whoever was acknowledged is in the evidence, nobody is in it who was not attempted, leaves count what their
        evidence holds, the whole log is what was signed, a certificate is issued and verified with the evidence, and
        no spool holds anything.
        """
        found, truth = self.finish(), self.crowd.truth
        wrong = {
            "lost": reckoning.lost(truth, found),
            "invented": reckoning.invented(truth, found),
            "miscounted": self.miscounted(found),
        }
        assert not any(wrong.values()), {what: (len(rows), rows[:5]) for what, rows in wrong.items()}
        return Held(
            found=found,
            acknowledged=sum(map(len, truth.acknowledged.values())),
            possible=sum(len(seats - truth.acknowledged[place]) for place, seats in list(truth.attempted.items())),
            straddling=len(truth.straddling),
            beats=truth.beats,
            broken=truth.broken,
            missing=found.missing,
            certificate=self.certify(found),
        )

    def miscounted(self, found: Found) -> list[str]:
        """The leaves that do not count what their evidence holds."""
        return reckoning.miscounted(found, {session.number: session.id for session in self.event.sessions})

    def certify(self, found: Found) -> dict[str, Any]:
        """Issue a certificate, have it verified with the evidence, and check whom it counts."""
        certified = self.turnout("certify", self.event_file, "--data", self.data, "-o", "certificate.json")
        assert certified.returncode == 0, certified.stderr
        verified = self.turnout(
            "verify", "certificate.json", "--evidence", self.data / "evidence", "--policy", self.data / "trust-policy"
        )
        assert verified.returncode == 0, verified.stdout
        certificate: dict[str, Any] = json.loads((self.folder / "certificate.json").read_text())
        people = [
            row["value"]
            for row in certificate["numbers"]
            if (row["rule"], row["scope"]) == ("unique-attendees-online", {})
        ]
        assert people == [reckoning.unique_people(self.crowd.truth, found)], people
        return certificate


def minute(number: int) -> int:
    """The window so many minutes after `WINDOW`."""
    return WINDOW + WINDOW_S * number
