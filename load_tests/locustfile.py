"""Turnout for Locust: viewers that join with a ticket, beat at the announced interval, pause, leave and come back.

    locust -f load_tests/locustfile.py --host http://127.0.0.1:8080 \
        --event-file turnout-data/event.toml --issuer-key turnout-data/development-issuer/tickets.private.jwk.json

Both options can be given as environment variables too: TURNOUT_EVENT_FILE, TURNOUT_ISSUER_KEY. (Locust's --help does
not read this file, and so does not show them.) `turnout up` makes the key of an issuer that is marked as a development
issuer. A join that is told to wait (503 with Retry-After) is no failure: it is shown in a line of its own. Locust
counts answers; whether the certificate counts what was answered is for `python -m load_tests.players` to find.
"""

import json
import os
import random
import sys
import time
from argparse import Namespace
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser

from load_tests.audience import Person
from load_tests.scenario import Programme, read_programme
from load_tests.tickets import Issuer

PAUSES: Final = 0.05
"""Share of heartbeats that say that the player is paused."""
LEAVES: Final = 0.02
"""Share of heartbeats after which a viewer leaves and goes to another session with its viewing token."""
JITTER: Final = (0.9, 1.1)
JOIN, BUSY, BEAT, LEAVE = "join", "join, told to wait", "heartbeat", "leave"
"""The names under which Locust shows the requests."""


def add_options(parser: LocustArgumentParser) -> None:
    """Add Turnout's options to Locust's."""
    parser.add_argument("--event-file", env_var="TURNOUT_EVENT_FILE", default="", include_in_web_ui=False,
                        help="Turnout: the event file that the gateway runs (TURNOUT_EVENT_FILE).")  # fmt: skip
    parser.add_argument("--issuer-key", env_var="TURNOUT_ISSUER_KEY", default="", include_in_web_ui=False,
                        help="Turnout: the private JWK of the event's first issuer, to sign tickets with "
                             "(TURNOUT_ISSUER_KEY).")  # fmt: skip


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]


class BoxOffice:
    """Sells each viewer of this process a ticket. Owned by Locust's environment."""

    def __init__(self, options: Namespace) -> None:
        """Read event file and key. Raises ValueError if one was not named, OSError if it is not there."""
        if not options.event_file or not options.issuer_key:
            raise ValueError("name --event-file and --issuer-key (or TURNOUT_EVENT_FILE and TURNOUT_ISSUER_KEY)")
        self.programme: Programme = read_programme(Path(options.event_file))
        self._issuer = Issuer(Path(options.issuer_key), self.programme)
        self._numbers = count()
        self._batch = os.urandom(4).hex()  # several processes and runs bring different people

    def sell(self) -> str:
        """Return the ticket of somebody new."""
        number = next(self._numbers)
        return self._issuer.ticket(Person(number, f"locust-{self._batch}-{number}", "", "visitor"))


def open_box_office(environment: Environment, **_: Any) -> None:
    """Read what the viewers need before the first of them comes."""
    options = environment.parsed_options
    if options is None:
        raise ValueError("Turnout's viewers need Locust's command line")
    try:
        environment.turnout = BoxOffice(options)  # type: ignore[attr-defined]
    except (OSError, ValueError, KeyError) as problem:
        sys.exit(f"Turnout's viewers cannot buy tickets: {problem}")


events.init.add_listener(open_box_office)  # type: ignore[no-untyped-call]


class Viewer(FastHttpUser):
    """One device of one person."""

    token = ""
    next_in_s = 0.0

    def wait_time(self) -> float:
        """Wait as long as the gateway said, give or take a tenth."""
        return self.next_in_s * random.uniform(*JITTER)

    def on_start(self) -> None:
        """Buy a ticket and join."""
        self.box_office: BoxOffice = self.environment.turnout
        self.ticket = self.box_office.sell()
        self.join(self.ticket)

    def on_stop(self) -> None:
        """Say goodbye."""
        if self.token:
            self.post("/v1/leave", LEAVE, body=self.token)

    @task
    def beat(self) -> None:
        """Send a heartbeat; now and then go to another session."""
        state = " a" if random.random() < PAUSES else ""
        answer = self.post("/v1/beat", BEAT, body=self.token + state)
        if answer.status_code in {401, 410}:  # a failure for Locust; for the viewer, a reason to join again
            self.join(self.ticket)
        elif answer.status_code == 204:
            self.next_in_s = float(answer.headers.get("Turnout-Interval", self.next_in_s))
            if random.random() < LEAVES:
                self.post("/v1/leave", LEAVE, body=self.token)
                self.join(self.token)
        elif answer.status_code in {429, 503}:
            self.next_in_s = float(answer.headers.get("Retry-After", self.next_in_s))

    def join(self, bearer: str) -> None:
        """Join some session, however often it takes. Raises StopUser if the answer is neither yes nor later."""
        session = random.choice(self.box_office.programme.sessions)
        path = f"/v1/events/{self.box_office.programme.event}/sessions/{quote(session.id)}/join"
        while True:
            with self.client.post(
                path, headers={"Authorization": f"Bearer {bearer}"}, name=JOIN, catch_response=True
            ) as answer:
                if answer.status_code == 201:
                    granted = json.loads(answer.text or "{}")
                    self.token, self.next_in_s = granted["token"], float(granted["interval_s"])
                    return
                if answer.status_code != 503 or "Retry-After" not in answer.headers:
                    answer.failure(f"{answer.status_code}: {(answer.text or '')[:200]}")
                    raise StopUser
                answer.request_meta["name"] = BUSY
                answer.success()
            time.sleep(float(answer.headers["Retry-After"]) + random.random())

    def post(self, path: str, name: str, *, body: str) -> Any:
        """Send a token and return the answer; anything but 204 is a failure."""
        with self.client.post(
            path, data=body, headers={"Content-Type": "text/plain;charset=UTF-8"}, name=name, catch_response=True
        ) as answer:
            if answer.status_code == 204:
                answer.success()
            else:
                answer.failure(f"{answer.status_code}: {(answer.text or '')[:200]}")
        return answer
