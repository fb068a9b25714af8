"""What Turnout is measured beside: servers of `load_tests/peers/`, each as an honest team would write it.

Each answers 204 to the same bytes; those with "PFADD" read the token from the body and add it to a HyperLogLog in a
real real Redis before they answer. One process each.
"""

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from load_tests.bench import programs
from load_tests.bench.servers import Server
from load_tests.http_client import Address
from load_tests.ports import free_port

FILES: Final = Path(__file__).parent.parent / "peers"
LISTEN_S: Final = 15.0
"""A Node that starts on a busy core takes a few seconds."""
NPM_S: Final = 180.0
SAID_CHARACTERS: Final = 1000  # of what a server said before it failed


class MissingError(Exception):
    """A program that a peer needs is not here; the text says which."""


Start = Callable[[Path, str], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Peer:
    """How to run one: `start` takes a scratch directory of its own and the URL of a Redis."""

    name: str
    pfadd: bool  # whether it counts in Redis
    start: Start
    throughput_wanted: float | None = None  # Turnout is to answer so many times as many requests a second
    cpu_wanted: float | None = None  # and to need at most so many times its CPU


@contextmanager
def child(name: str, command: Sequence[str], port: int, *, cwd: Path | None = None) -> Iterator[Server]:
    """Run a server and wait until it listens. Raises RuntimeError, with what it said, if it does not."""
    said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would fill and stop the server
    started = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
    try:
        deadline = time.monotonic() + LISTEN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if started.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    words = said.read().decode(errors="replace")[-SAID_CHARACTERS:]
                    raise RuntimeError(f"{name} does not listen. {words}") from None
                time.sleep(0.05)
        server = Server(name, Address("127.0.0.1", port), (started.pid,))
        server.pin()
        yield server
    finally:
        started.terminate()
        try:
            started.wait(5)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        said.close()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingError(f"{name} is not on the PATH")
    return found


@contextmanager
def nginx(conf: Path, name: str, scratch: Path, **values: str) -> Iterator[Server]:
    """Run nginx with a configuration in which @PORT@ and @NAME@ of `values` stand for what they are.

    Raises MissingError without nginx, RuntimeError if it does not start.
    """
    program, port = _program("nginx"), free_port()
    text = conf.read_text().replace("@PORT@", str(port))
    for key, value in values.items():
        text = text.replace(f"@{key.upper()}@", value)
    written = scratch / conf.name
    written.write_text(text)
    with child(name, [program, "-e", "stderr", "-p", str(scratch), "-c", str(written)], port) as server:
        yield server


def _nginx_204(scratch: Path, _: str) -> AbstractContextManager[Server]:
    return nginx(FILES / "nginx_204.conf", NGINX_204, scratch)


@contextmanager
def _nginx_lua(scratch: Path, redis: str) -> Iterator[Server]:
    said = subprocess.run([_program("nginx"), "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"--modules-path=(\S+)", said)
    modules = Path(found[1]) if found else Path("/usr/lib/nginx/modules")
    if not (modules / "ngx_http_lua_module.so").exists():
        raise MissingError("nginx has no Lua module (Debian: libnginx-mod-http-lua)")
    where = urlsplit(redis)
    connect = f'"{where.hostname}", {where.port}' if where.port else f'"unix:{where.path}"'
    conf = FILES / "nginx_lua_pfadd.conf"
    with nginx(conf, NGINX_LUA, scratch, modules=str(modules), redis=connect) as server:
        yield server


def _python(name: str, module: str, *packages: str) -> Start:
    @contextmanager
    def start(_: Path, redis: str) -> Iterator[Server]:
        for package in packages:
            if importlib.util.find_spec(package) is None:
                raise MissingError(f"the Python package {package} is not installed")
        port = free_port()
        command = [sys.executable, "-m", f"load_tests.peers.{module}", str(port), redis]
        with child(name, command, port) as server:
            yield server

    return start


@contextmanager
def _fastify(scratch: Path, redis: str) -> Iterator[Server]:
    node, npm, port = _program("node"), _program("npm"), free_port()
    for path in (FILES / "fastify_pfadd").iterdir():
        if path.is_file():
            shutil.copy(path, scratch)
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"],
        cwd=scratch, capture_output=True, text=True, timeout=NPM_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise MissingError(f"npm cannot install fastify and ioredis: {(done.stderr or done.stdout).strip()[:300]}")
    with child(FASTIFY, [node, "server.js", str(port), redis.removeprefix("unix://")], port, cwd=scratch) as server:
        yield server


NGINX_204: Final = "nginx, empty 204"
NGINX_LUA: Final = "nginx + Lua + PFADD"
FASTIFY: Final = "fastify + ioredis, PFADD"
AIOHTTP: Final = "aiohttp, plain handler"
AIOHTTP_PFADD: Final = "aiohttp + PFADD"
FASTAPI: Final = "FastAPI/uvicorn + PFADD"

PEERS: Final = (
    Peer(NGINX_204, pfadd=False, start=_nginx_204, cpu_wanted=1.3),
    Peer(NGINX_LUA, pfadd=True, start=_nginx_lua, throughput_wanted=2.5),
    Peer(FASTIFY, pfadd=True, start=_fastify, throughput_wanted=4),
    Peer(AIOHTTP, pfadd=False, start=_python(AIOHTTP, "aiohttp_plain"), throughput_wanted=4),
    Peer(AIOHTTP_PFADD, pfadd=True, start=_python(AIOHTTP_PFADD, "aiohttp_pfadd"), throughput_wanted=12),
    Peer(
        FASTAPI,
        pfadd=True,
        start=_python(FASTAPI, "fastapi_pfadd", "fastapi", "uvicorn", "httptools"),
        throughput_wanted=20,
    ),
)


def versions() -> dict[str, str]:
    """Return the versions of the programs and packages that peers run on, as far as they are here."""
    commands = {"nginx": ("-v",), "node": ("--version",)}
    found = {
        name: programs.version(path, *arguments) for name, arguments in commands.items() if (path := shutil.which(name))
    }
    return found | {
        name: programs.package_version(name) for name in ("uvloop", "aiohttp", "redis", "fastapi", "uvicorn")
    }
