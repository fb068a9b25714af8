"""Logs in which keys of issuers came and went, and joins under keys that were in force and that were not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from counters.checks.joins_vouched import judged
from counters.checks.verification import FailedError, OpenError
from counters.evidence import JournalSegment
from counters.issuer_keys import thumbprint
from counters.journal import Assurance, JoinKind
from counters.keys_in_force import KeyChange, adding, key_entry, retiring
from counters.keys_of_joins import KeysOfJoins
from counters.log_entries import read_log
from counters.sealed_evidence import read_journals_of
from tests.counters.published import plain_world
from tests.counters.synthetic import KEY, SOFTWARE, START, THUMBPRINT, Sealed, World, seal

NEW_KEY: Final = KEY | {"kid": "k2", "x": KEY["x"][:-1] + "s"}
NEW: Final = thumbprint(NEW_KEY)
MIDDLE: Final = START + 120
"""A minute in which a key comes or goes: joins are of minutes before and after it."""
ISSUER: Final = "issuer-0"


@dataclass(frozen=True)
class Keyed:
    """A sealed world, and what an auditor must be told of its joins."""

    sealed: Sealed
    wrong: int  # joins under no key in force
    words: str  # in what is said

    def found(self) -> tuple[KeysOfJoins, bool | None, str]:
        """Return what is found, whether it passes, and in which words."""
        log = read_log(self.sealed.entries)
        found = KeysOfJoins(log)
        for outline, journals in read_journals_of(log, self.sealed.files.__getitem__):
            found.take(outline, journals)
        try:
            return found, True, judged(log.event, found)
        except FailedError as error:
            return found, False, str(error)
        except OpenError as error:
            return found, None, str(error)


def retired(at: int, issuer: str = ISSUER) -> Callable[[World], KeyChange]:
    return lambda _world: retiring(issuer, THUMBPRINT, "it leaked", at)


def added(at: int) -> Callable[[World], KeyChange]:
    return lambda world: adding(world.event, ISSUER, NEW_KEY, "every day a new one", at)


def of(world: World, *changes: Callable[[World], KeyChange], late: bool = False, at: int | None = None) -> Sealed:
    """Seal a world, all of it late or nothing; changes stand before the windows that end after them, or at `at`."""
    windows = sorted(world.segments().keys() | set(world.event.scheduled_windows()))
    gateways = [(window, part.head.gateway) for window, parts in world.segments().items() for part in parts]
    sealed = seal(world, later=gateways if late else ())
    for number, change in enumerate(changes, 1):
        made = change(world)
        place = number + sum(window + 60 <= made.at for window in windows) if at is None else at
        sealed.entries.insert(place, key_entry(world.event, number, made, SOFTWARE))
    return sealed


def world(name: str = THUMBPRINT, issuer: str = ISSUER, **changes: object) -> World:
    """Return a world whose tickets and badges are all of one issuer and key, one every 17 seconds."""
    made = plain_world()
    made.joins = [
        replace(join, issuer=issuer, key_thumbprint=name, joined_at_ms=(START - 60 + 17 * number) * 1000, **changes)  # type: ignore[arg-type]
        if join.kind is not JoinKind.VIEWING_TOKEN
        else join
        for number, join in enumerate(made.joins)
    ]
    return made


def backdated() -> World:
    """Return a world whose joins all say that they are of its first minute, whenever they were handed over."""
    made = world()
    segments = made.segments()
    for part in (part for parts in segments.values() for part in parts if isinstance(part, JournalSegment)):
        part.joins["joined_at_ms"] = (START - 60) * 1000
    made.segments = lambda: segments  # type: ignore[method-assign]
    return made


def vouched(world: World) -> list[int]:
    """Return when each ticket and badge was taken, unix ms."""
    return [join.joined_at_ms for join in world.joins if join.kind is not JoinKind.VIEWING_TOKEN]


def cases() -> dict[str, Keyed]:
    """Return what may become of keys, and how many joins are under none in force."""
    every = len(vouched(world()))
    after = sum(at > (MIDDLE + 60) * 1000 for at in vouched(world()))
    before = sum(at < (MIDDLE - 60) * 1000 for at in vouched(world()))
    assert 0 < after < every
    assert 0 < before < every
    return {
        "entry 0": Keyed(of(world()), 0, "name 1 keys, each in force"),
        "guests": Keyed(of(world(assurance=Assurance.GUEST, name="")), 0, f"{every} are of guests"),
        "another issuer's loss": Keyed(of(world(), retired(START - 7200, "issuer-1")), 0, "each in force"),
        "after everything": Keyed(of(world(), retired(START + 7200)), 0, "each in force"),
        "no key": Keyed(of(world("")), every, f"{every} name none that their issuer ever had"),
        "a stranger's key": Keyed(of(world("k")), every, "under the key k of issuer-0"),
        "nobody's key": Keyed(of(world(issuer="nobody")), every, "of nobody"),
        "retired before": Keyed(of(world(), retired(START - 7200)), every, "retired before; the first is join 1 of"),
        "retired meanwhile": Keyed(of(world(), retired(MIDDLE)), after, f"{after} one that was added later or retired"),
        "added meanwhile": Keyed(of(world(NEW), added(MIDDLE)), before, f"{before} one that was added later or"),
        "added before": Keyed(of(world(NEW), added(START - 7200)), 0, "each in force"),
        "late, and retired since": Keyed(
            of(world(), retired(max(vouched(world())) // 60_000 * 60 + 60), late=True),
            0,
            f"the evidence of {every} of them only since",
        ),
        "late, and retired after that": Keyed(
            of(world(), retired(START + 7200), late=True, at=10**6), 0, "each in force"
        ),
        "sealed long after": Keyed(
            of(world(), retired(START + 7200), at=1), 0, f"the evidence of {every} of them only since"
        ),
        "dated back": Keyed(
            of(backdated(), retired(MIDDLE)),
            sum(at >= (MIDDLE + 120) * 1000 for at in vouched(world())),
            "that was added later or retired before",
        ),
    }
