"""An event file with a development issuer, for tests of the gateway: real keys, real tickets; a worker that serves."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from counters.event import Event, load_event
from counters.live import SketchStore
from counters.registry import SeatRegistry
from deploy.embedded_redis import EmbeddedRedis, Role, ServerProgram
from gateway.development_issuer import DevelopmentIssuer, load_event_creating_keys
from tests.gateway.serving import Serving, serving

PATIENCE_S = 180.0
"""With a Redis that is there: only what hangs takes so long."""

EVENT_FILE = """
[event]
id = "expo"
name = "Expo"
time_zone = "Asia/Shanghai"
late_until = 2023-11-23T00:00:00+08:00

[[session]]
number = 1
id = "opening"
title = "Opening"
starts_at = 2023-11-19T09:00:00+08:00
ends_at = 2023-11-19T10:30:00+08:00
gates = ["hall-a"]

[[session]]
number = 2
id = "forum"
title = "Forum"
starts_at = 2023-11-19T09:30:00+08:00
ends_at = 2023-11-19T11:00:00+08:00
gates = ["hall-b"]

[[issuer]]
id = "tickets"
issuer = "https://tickets.example"
audience = "expo"
jwks = "jwks.json"
namespace = "tickets"
operated_by = "Ticket Shop"
algorithms = ["ES256"]
attributes = { country = "country", category = "category", outlet = "outlet" }
development = true
"""


@pytest.fixture(scope="module", autouse=True)
def _patient_with_redis() -> Iterator[None]:
    """A quarter of a second is over before a Redis that is there has answered, where the machine stands still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeatRegistry.__init__, "__defaults__", (PATIENCE_S,))
        patch.setattr(SketchStore.__init__, "__defaults__", (PATIENCE_S, time.monotonic))
        yield


@pytest.fixture(scope="session")
def event_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The event file of `EVENT_FILE`; the keys of its issuer are in the folder `development-issuer` beside it."""
    path = tmp_path_factory.mktemp("event") / "expo.toml"
    path.write_text(EVENT_FILE, encoding="utf-8")
    load_event_creating_keys(path, path.parent / "development-issuer")
    return path


@pytest.fixture(scope="session")
def simulated_event_file(event_file: Path) -> Path:
    """The same event on a clock that stands still at 08:59 until it is told to jump."""
    path = event_file.with_name("simulated.toml")
    path.write_text(EVENT_FILE + "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def simulated(simulated_event_file: Path) -> Event:
    """What is in that file."""
    return load_event(simulated_event_file)


@pytest.fixture(scope="session")
def event(event_file: Path) -> Event:
    return load_event_creating_keys(event_file, event_file.parent / "development-issuer")


@pytest.fixture(scope="session")
def mint(event_file: Path, event: Event) -> Callable[..., str]:
    """`mint(subject, now=…, claims=…)` gives a ticket of the event's issuer."""
    development_issuer = DevelopmentIssuer.load(event_file.parent / "development-issuer", "tickets")

    def minted(subject: str, **details: Any) -> str:
        return development_issuer.mint(event.issuers[0], subject, **details)

    return minted


@pytest.fixture
def redis(redis_program: ServerProgram, tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A real server on a unix socket, which the test may kill."""
    with EmbeddedRedis(tmp_path / "redis", Role.REGISTRY, redis_program) as server:
        yield server


@pytest.fixture(scope="module")
def pair(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Serving]]:
    """The same worker twice, with the door and without it; secrets and clock are shared."""
    folder = tmp_path_factory.mktemp("pair")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it logs every malformed request with a traceback
    with serving(event_file, folder) as door, serving(event_file, folder, with_door=False) as plain:
        yield door, plain
    logging.getLogger("aiohttp.server").setLevel(logging.NOTSET)


@pytest.fixture
def served(pair: tuple[Serving, Serving]) -> Serving:
    """The worker that has the door."""
    return pair[0]
