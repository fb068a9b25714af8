"""wrk as the client: a script that sends given requests in turn, and what wrk says it got."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load_tests.bench import processes, programs
from load_tests.http_client import Address

CONNECTIONS: Final = 64
BROWSER: Final = (
    ("Connection", "keep-alive"),
    ("sec-ch-ua-platform", '"Linux"'),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    ),
    ("sec-ch-ua", '"Chromium";v="156", "Not)A;Brand";v="24"'),
    ("Content-Type", "text/plain;charset=UTF-8"),
    ("sec-ch-ua-mobile", "?0"),
    ("Accept", "*/*"),
    ("Origin", "https://stream.example"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
    ("Referer", "https://stream.example/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
)
"""What Chromium sends with `fetch(url, {method: "POST", body: token})` to another origin, in its order."""

_SCRIPT: Final = """-- Written by load_tests.bench: sends the requests in turn.
local requests = {
%s
}
local count, last = #requests, 0
local threads = {}
other = 0
function setup(thread) table.insert(threads, thread) end
function request()
  last = last %% count + 1
  return requests[last]
end
%s
function done(summary, latency, _)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("other") end
  local e = summary.errors
  io.write('\\nRESULT ', string.format(
    '{"requests":%%d,"duration_us":%%d,"received_bytes":%%d,"status_errors":%%d,' ..
    '"socket_errors":%%d,"other":%%d,"p99_us":%%d}\\n',
    summary.requests, summary.duration, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout, bad,
    latency:percentile(99)))
end
"""
_CHECK: Final = "function response(status) if status ~= 204 then other = other + 1 end end"


@dataclass(frozen=True, slots=True)
class Run:
    """What wrk measured."""

    requests: int
    duration_us: int
    received_bytes: int
    status_errors: int  # answers of 400 and above
    socket_errors: int
    other: int  # answers that were no 204; counted in a checking run only
    p99_us: int

    @property
    def sound(self) -> bool:
        """Whether there was anything, and no error in it."""
        return self.requests > 0 and not (self.status_errors or self.socket_errors or self.other)


def client() -> list[str]:
    """Return how to start wrk, on the client's core. Raises RuntimeError if it is not on the PATH."""
    found = programs.need("wrk", "it is the client, nothing can be measured without it.")
    return processes.on_core(processes.CLIENT_CORE, [found])


class Client:
    """wrk with given requests. Owns its two scripts."""

    def __init__(self, scratch: Path, requests: Sequence[bytes]) -> None:
        """Write the scripts into a scratch directory."""
        self._scripts = {check: scratch / f"{'checking' if check else 'plain'}.lua" for check in (False, True)}
        for check, script in self._scripts.items():
            write_script(script, requests, check=check)

    def load(self, address: Address, seconds: int, *, check: bool = False) -> Run:
        """Send heartbeats for so long; look at every status if `check`. Raises RuntimeError."""
        return run(client(), self._scripts[check], f"http://{address.host}:{address.port}/v1/beat", seconds)


def browser_request(host: str, token: str, headers: Iterable[tuple[str, str]] = BROWSER) -> bytes:
    """Return the bytes of a browser's heartbeat."""
    lines = [f"Host: {host}", f"Content-Length: {len(token)}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(["POST /v1/beat HTTP/1.1", *lines]) + "\r\n\r\n" + token).encode()


def write_script(path: Path, requests: Sequence[bytes], *, check: bool) -> None:
    """Write the script. A checking one looks at every status, which costs the client time."""
    quoted = ",\n".join(
        json.dumps(request.decode("ascii")) for request in requests
    )  # a JSON string of ASCII is a Lua string
    path.write_text(_SCRIPT % (quoted, _CHECK if check else ""))


def run(command: Sequence[str], script: Path, url: str, seconds: int) -> Run:
    """Run wrk for so long. `command` is how to start it. Raises RuntimeError if it says nothing that can be read."""
    done = subprocess.run(
        [*command, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url],
        capture_output=True, text=True, timeout=seconds + 30, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return Run(**json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
