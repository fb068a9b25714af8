"""A real browser plays: it joins, beats and leaves from a page of another origin, and the door answers all of it."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.answers import announced
from gateway.door import Door
from tests.gateway.serving import NOW, Serving, serving, until

BEATS: Final = 100
PATIENCE_S: Final = 180.0
PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Player</title><script>
const found = {beats: [], intervals: []}
async function play({join, ticket, beats}) {
  const joined = await fetch(join, {method: 'POST', headers: {Authorization: `Bearer ${ticket}`}})
  found.join = joined.status
  const view = await joined.json()
  const beat = body => fetch(view.beat_url, {method: 'POST', body})
  for (let number = 0; number < beats; number++) {
    const answer = await beat(number % 10 ? view.token : `${view.token} b`)
    found.beats.push(answer.status)
    found.intervals.push(answer.headers.get('Turnout-Interval'))
  }
  const refused = await beat('x'.repeat(64))
  found.refused = [refused.status, (await refused.json()).reason]
  found.left = navigator.sendBeacon(view.beat_url.replace('beat', 'leave'), view.token)
}
play(@PLAY@).catch(error => { found.error = String(error) })
  .finally(() => fetch('/found', {method: 'POST', body: JSON.stringify(found)}))
</script>
"""


class Page(ThreadingHTTPServer):
    """Serves the player's page, and takes what it found."""

    daemon_threads = True

    def __init__(self, page: bytes) -> None:
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.page = page
        self.found: dict[str, Any] = {}
        self.told = threading.Event()


class PageHandler(BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.page if self.path == "/" else b"")

    def do_POST(self) -> None:
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.told.set()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def page(play: dict[str, Any]) -> Iterator[Page]:
    with Page(PAGE.replace("@PLAY@", json.dumps(play)).encode()) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@contextmanager
def chromium(program: str, url: str, profile: Path) -> Iterator[None]:
    """Show a page in a headless browser with a profile of its own; its processes end with the test."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
               "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
               f"--user-data-dir={profile}"]  # fmt: skip
    with (profile.parent / "chromium.said").open("wb") as said:
        browser = subprocess.Popen(
            [program, *options, url], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True, env={**os.environ, "HOME": str(profile.parent)},
        )  # fmt: skip
        try:
            yield
        finally:
            os.killpg(browser.pid, signal.SIGTERM)  # the session is ours: nobody else is in it
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(browser.pid, signal.SIGKILL)
                browser.wait()


@pytest.fixture
def served(event_file: Path, tmp_path: Path) -> Iterator[Serving]:
    with serving(event_file, tmp_path) as running:
        yield running


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """What came on which connection: a number and the method and path of what came, in order."""
    lines: list[tuple[int, str]] = []
    receive = Door.data_received

    def listen(door: Door, data: bytes) -> None:
        lines.append((id(door), data.partition(b" HTTP/1.1\r\n")[0].decode("latin-1")))
        receive(door, data)

    monkeypatch.setattr(Door, "data_received", listen)
    return lines


def test_a_browser_joins_and_beats_on_one_connection_and_all_of_it_takes_the_door(
    served: Serving,
    heard: list[tuple[int, str]],
    mint: Callable[..., str],
    tmp_path: Path,
    needed: Callable[[str], str],
) -> None:
    program = needed("chromium")
    join = "/v1/events/expo/sessions/opening/join"
    play = {"join": f"http://127.0.0.1:{served.port}{join}", "ticket": mint("browser", now=NOW), "beats": BEATS}
    with page(play) as player, chromium(program, f"http://127.0.0.1:{player.server_address[1]}/", tmp_path / "profile"):
        assert player.told.wait(PATIENCE_S), (tmp_path / "chromium.said").read_text(errors="replace")
        until(lambda: "leave.left" in served.counts() or not player.found.get("left"), "the leave is here")
    found = player.found
    assert "error" not in found, found
    assert (found["join"], found["left"], found["refused"]) == (201, True, [401, "token_malformed"])
    assert found["beats"] == [204] * BEATS
    # Another origin may read the interval only because the answer lets it.
    assert {int(interval) for interval in found["intervals"]} <= set(announced(30))
    counts = served.counts()
    assert (counts["beat.playing"], counts["beat.background"]) == (BEATS - BEATS // 10, BEATS // 10)
    assert (counts["join.accepted"], counts["leave.left"]) == (1, 1)
    # The door's share: nothing of this was aiohttp's.
    assert served.ways()[:2] == (0, 0)
    asked = [line for _, line in heard]
    assert (asked.count(f"OPTIONS {join}"), asked.count(f"POST {join}"), asked.count("POST /v1/leave")) == (1, 1, 1)
    assert "OPTIONS /v1/beat" not in asked  # a heartbeat needs no preflight
    beating = {door for door, line in heard if line in {f"POST {join}", "POST /v1/beat"}}
    assert len(beating) == 1
