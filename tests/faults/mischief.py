"""Faults to be mixed at random: what breaks, for how long, and how it is mended. Add one as a row of `FAULTS`.

A plan is a pure function of its seed: which fault at which gateway, when, and for how long. When exactly a signal meets
a process is not: the machine decides that anew each time.
"""

import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.ledger_client import HAND_OVER_PATH
from tests.faults.loopback_line import requests_in
from tests.faults.parts import Part
from tests.faults.rig import Rig
from tests.gateway.serving import Connection

Mend = Callable[[], None]
Break = Callable[[Rig, int], Mend]
"""Break something of gateway number so and so, or of all; return what mends it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    part: str  # what it breaks: two faults at once never break the same; {} is the gateway's number
    longest_s: float  # real seconds until it is mended
    do: Break
    needs: tuple[str, ...] = ()  # other parts that must be whole meanwhile


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault of a plan."""

    at_s: float  # real seconds from the start
    name: str
    gateway: int
    lasts_s: float

    @property
    def part(self) -> str:
        """What it breaks."""
        return FAULTS[self.name].part.format(self.gateway)

    @property
    def concerns(self) -> set[str]:
        """What no other fault may break meanwhile."""
        return {self.part, *(part.format(self.gateway) for part in FAULTS[self.name].needs)}

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.name}, gateway {self.gateway}, for {self.lasts_s:.1f} s"


def plan(seed: int, seconds: float, gateways: int) -> list[Planned]:
    """Return the faults of a soak: the same for the same arguments. At most two things are broken at once."""
    chance = random.Random(seed)
    planned: list[Planned] = []
    at_s = 1.0
    while True:
        name = chance.choice(sorted(FAULTS))
        wanted = Planned(at_s, name, chance.randrange(gateways), chance.uniform(0.1, 1.0) * FAULTS[name].longest_s)
        at_s += chance.uniform(0.3, 4.0)
        if wanted.at_s + wanted.lasts_s > seconds:
            if wanted.at_s > seconds:
                return planned
            continue
        open_then = [each for each in planned if each.at_s + each.lasts_s > wanted.at_s]
        if len(open_then) < 2 and not any(
            each.part in wanted.concerns or wanted.part in each.concerns for each in open_then
        ):
            planned.append(wanted)


def steps(planned: list[Planned]) -> Iterator[tuple[float, Planned, bool]]:
    """Yield (when, fault, whether it begins) in the order of time."""
    begins = [(each.at_s, number, each, True) for number, each in enumerate(planned)]
    ends = [(each.at_s + each.lasts_s, number, each, False) for number, each in enumerate(planned)]
    for at_s, _, each, begin in sorted(begins + ends, key=lambda step: (step[0], step[1])):
        yield at_s, each, begin


# What breaks, and what mends it.


def nothing() -> None:
    """Mend what mends itself."""


def kill_worker(rig: Rig, place: int) -> Mend:
    workers = rig.gateways[place].workers()
    _send(workers[:1], signal.SIGKILL)
    return rig.gateways[place].until_serving


def kill_all_workers(rig: Rig, place: int) -> Mend:
    _send(rig.gateways[place].workers(), signal.SIGKILL)
    return rig.gateways[place].until_serving


def pause_worker(rig: Rig, place: int) -> Mend:
    paused = rig.gateways[place].workers()[:1]
    _send(paused, signal.SIGSTOP)
    return lambda: _send(paused, signal.SIGCONT)


def pause_all_workers(rig: Rig, place: int) -> Mend:
    paused = rig.gateways[place].workers()
    _send(paused, signal.SIGSTOP)
    return lambda: _send(paused, signal.SIGCONT)


def pause_gateway(rig: Rig, place: int) -> Mend:
    gateway = rig.gateways[place]
    paused = [gateway.pid, *gateway.workers()]
    _send(paused, signal.SIGSTOP)
    return lambda: _send(paused, signal.SIGCONT)


def kill_supervisor(rig: Rig, place: int) -> Mend:
    rig.gateways[place].kill_supervisor()
    return rig.gateways[place].start


def kill_gateway(rig: Rig, place: int) -> Mend:
    return _killed(rig.gateways[place])


def restart_gateway(rig: Rig, place: int) -> Mend:
    return _stopped(rig.gateways[place])


def pause_supervisor(rig: Rig, place: int) -> Mend:
    return _paused(rig.gateways[place])


def roll_gateway(rig: Rig, place: int) -> Mend:
    rig.gateways[place].roll()
    return nothing


def succeed_gateway(rig: Rig, place: int) -> Mend:
    code = rig.gateways[place].succeed()
    assert code == 0, f"the gateway that was taken over ended with {code}"
    return rig.gateways[place].until_serving


def kill_ledger(rig: Rig, _: int) -> Mend:
    return _killed(rig.ledger)


def restart_ledger(rig: Rig, _: int) -> Mend:
    return _stopped(rig.ledger)


def pause_ledger(rig: Rig, _: int) -> Mend:
    return _paused(rig.ledger)


def kill_redis(rig: Rig, _: int) -> Mend:
    return _killed(rig.redis)


def empty_redis(rig: Rig, _: int) -> Mend:
    rig.redis.kill()
    rig.redis.empty()
    return rig.redis.start


def recover_redis(rig: Rig, place: int) -> Mend:
    """Empty it, and have the registry rebuilt from the evidence while people come and go."""
    start = empty_redis(rig, place)

    def recover() -> None:
        start()
        done = rig.turnout("recover", rig.event_file, "--data", rig.data, "--redis", rig.redis.url)
        assert done.returncode == 0, done.stderr

    return recover


def pause_redis(rig: Rig, _: int) -> Mend:
    return _paused(rig.redis)


def cut_from_ledger(rig: Rig, place: int) -> Mend:
    rig.ledger_line[place].cut()
    return rig.ledger_line[place].heal


def hang_to_ledger(rig: Rig, place: int) -> Mend:
    rig.ledger_line[place].hang()
    return rig.ledger_line[place].heal


def swallow_answers(rig: Rig, place: int) -> Mend:
    rig.ledger_line[place].swallow_answers()
    return rig.ledger_line[place].heal


def cut_from_redis(rig: Rig, place: int) -> Mend:
    rig.redis_line[place].cut()
    return rig.redis_line[place].heal


def hang_to_redis(rig: Rig, place: int) -> Mend:
    rig.redis_line[place].hang()
    return rig.redis_line[place].heal


def repeat_hand_overs(rig: Rig, place: int) -> Mend:
    """Send what a gateway handed over once more, the newest first."""
    line = rig.ledger_line[place]
    line.asked.clear()
    line.recording = True

    def repeat() -> None:
        line.recording = False
        asked, line.asked = line.asked, []
        requests = [request for each in asked for request in requests_in(bytes(each))]
        if rig.ledger.running:
            send_again(rig, [request for request in requests if HAND_OVER_PATH.encode() in request[:64]][::-1])

    return repeat


def send_again(rig: Rig, requests: list[bytes]) -> None:
    """Send requests to the ledger as they were; it may go away meanwhile."""
    try:
        line = Connection(rig.ledger.port)
        try:
            for request in requests:
                line.send(request)
                line.read_answers(1)
        finally:
            line.close()
    except (OSError, AssertionError):
        return


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # another fault was faster


def _killed(part: Part) -> Mend:
    part.kill()
    return part.start


def _stopped(part: Part) -> Mend:
    code = part.stop()
    assert code == 0, f"{part.name} ended with {code}"
    return part.start


def _paused(part: Part) -> Mend:
    part.pause()
    return part.resume


FAULTS: Final[Mapping[str, Fault]] = {
    # name: what it breaks, how long at most, how
    "kill a worker": Fault("gateway {}", 1.0, kill_worker),
    "kill all workers": Fault("gateway {}", 1.0, kill_all_workers),
    "pause a worker": Fault("gateway {}", 8.0, pause_worker),
    "pause all workers": Fault("gateway {}", 6.0, pause_all_workers),
    "kill a gateway": Fault("gateway {}", 6.0, kill_gateway),
    "kill a supervisor": Fault("gateway {}", 3.0, kill_supervisor),
    "pause a gateway": Fault("gateway {}", 12.0, pause_gateway),
    "restart a gateway": Fault("gateway {}", 3.0, restart_gateway),
    "pause a supervisor": Fault("gateway {}", 8.0, pause_supervisor),
    # A new worker serves once it has seats from the ledger, and the old one waits for that.
    "roll a gateway": Fault("gateway {}", 1.0, roll_gateway, ("ledger", "ledger line {}")),
    # The old one ends its hand-over first, for which it has 30 s: longer than a soak likes to wait.
    "succeed a gateway": Fault("gateway {}", 1.0, succeed_gateway, ("ledger", "ledger line {}")),
    "kill the ledger": Fault("ledger", 4.0, kill_ledger),
    "restart the ledger": Fault("ledger", 2.0, restart_ledger),
    "pause the ledger": Fault("ledger", 8.0, pause_ledger),
    "kill redis": Fault("redis", 4.0, kill_redis),
    "empty redis": Fault("redis", 2.0, empty_redis),
    "recover redis": Fault("redis", 2.0, recover_redis),
    "pause redis": Fault("redis", 15.0, pause_redis),
    "cut from the ledger": Fault("ledger line {}", 8.0, cut_from_ledger),
    "hang to the ledger": Fault("ledger line {}", 8.0, hang_to_ledger),
    "swallow the ledger's answers": Fault("ledger line {}", 5.0, swallow_answers),
    "cut from redis": Fault("redis line {}", 5.0, cut_from_redis),
    "hang to redis": Fault("redis line {}", 8.0, hang_to_redis),
    "repeat hand-overs": Fault("ledger line {}", 8.0, repeat_hand_overs),
}
