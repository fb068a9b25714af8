"""The witness's process: takes checkpoints over HTTP and answers with cosignatures (C2SP tlog-witness).

DIR/witness.key    the secret key, made at the first start: mode 0600
DIR/witness.json   where it can be reached, and its verifier key
DIR/logs/, DIR/misbehaviour/, DIR/lock   counters.ledger.witness
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from aiohttp import web

from counters.durable_file import read_or_create
from counters.ledger.cosignature import witness_key
from counters.ledger.note import NoteError, Signer, Verifier
from counters.ledger.witness import Witness, WitnessStateError
from counters.ledger.witness_protocol import ADD_CHECKPOINT, REQUEST_LIMIT_BYTES, SIZE_TYPE, Verdict
from counters.software import VERSION
from counters.trust_policy import TrustPolicy, TrustPolicyError
from gateway.log_output import begin_logging
from gateway.mendable import one_sentence
from gateway.operations import operations, probes
from gateway.problems import problems, reading
from gateway.processes import address_of, serve_http, stop_when_told, write_json
from gateway.request_ids import request_ids
from gateway.route_metrics import OwnRequests
from gateway.settings import WitnessSettings
from gateway.tracing import Tracing, begin_tracing
from metrics import exposition
from metrics.witness_snapshot import WitnessSnapshot

READ_S: Final = 10.0
"""A request is a few kilobytes: one that takes longer to arrive is not from a log that waits for the answer."""
THREADS: Final = 4
"""Requests at once; each waits for the disk. More wait their turn."""
FAILED: Final = "failed"
ROUTES: Final = ("add_checkpoint", "healthz", "readyz", "other")
"""What can be asked of a witness (metrics.catalogue.HTTP_ROUTES)."""
TEXT: Final = "text/plain; charset=utf-8"
_log = logging.getLogger("turnout.witness")


class WitnessSetupError(Exception):
    """The witness cannot start as it was asked to; the text says what to do."""


class TrustedLogs:
    """The keys of the logs that are watched. Files are read again when they have changed."""

    def __init__(self, keys: Sequence[str], files: Sequence[Path]) -> None:
        """Read them all.

        Raises:
            NoteError: a key is malformed.
            TrustPolicyError: a file is.
            OSError: a file cannot be read.
        """
        self._given = [Verifier.decode(key) for key in keys]
        self._files = files
        self._seen: object = None
        self._keys: dict[str, list[Verifier]] = {}
        self._said = ""
        self._read()

    def __len__(self) -> int:
        """How many logs."""
        return len(self._keys)

    def __call__(self, origin: str) -> Sequence[Verifier]:
        """Return the keys of a log; none if it is not watched."""
        # Whoever adds a log to a file, or strikes one off, need not start the witness anew.
        try:
            self._read()
            self._said = ""
        except (OSError, TrustPolicyError) as error:
            if str(error) != self._said:
                _log.error("the list of logs stays as it was: %s", error)
            self._said = str(error)
        return self._keys.get(origin, ())

    def _paths(self) -> list[Path]:
        return [path for given in self._files for path in (sorted(given.iterdir()) if given.is_dir() else [given])]

    def _read(self) -> None:
        paths = self._paths()
        seen = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
        if seen == self._seen:
            return
        keys: dict[str, list[Verifier]] = {}
        for log in (*self._given, *(log for path in paths for log in _logs_in(path))):
            if log not in keys.setdefault(log.name, []):
                keys[log.name].append(log)
        self._keys, self._seen = keys, seen
        _log.info("watching %d logs: %s", len(keys), ", ".join(sorted(keys)) or "none yet")


def _logs_in(path: Path) -> tuple[Verifier, ...]:
    try:
        return TrustPolicy.decode(path.read_text(encoding="utf-8")).logs
    except (TrustPolicyError, UnicodeDecodeError) as error:
        raise TrustPolicyError(f"{path}: {error}") from None


def load_or_create_key(path: Path, name: str) -> Signer:
    """Return the witness's secret key, made at the first start: mode 0600, and durable before it signs anything.

    Raises:
        WitnessSetupError: there is none and no (good) name for it, or the one there has another name or is no key.
    """
    if not path.exists() and not name:
        raise WitnessSetupError(
            "this witness has no key yet: name it with --name, a URL without its scheme that is yours, such as "
            "witness.newspaper.example/1. The name is part of the key"
        )
    try:
        text = read_or_create(path, lambda: Signer.generate(name).encode().encode() + b"\n", mode=0o600)
        signer = Signer.decode(text.decode().strip())
    except (NoteError, UnicodeDecodeError) as error:
        where = f"{path} is no key ({error}): restore it from where it is kept safe"
        raise WitnessSetupError(where if path.exists() else f"--name: {error}") from None
    if name not in {"", signer.name}:
        raise WitnessSetupError(f"the key in {path} is named {signer.name!r}, not {name!r}: leave out --name")
    return signer


class WitnessService:
    """One witness behind HTTP. Owned by its event loop; the witness itself works in threads."""

    def __init__(self, config: WitnessSettings, signer: Signer, witness: Witness, tracing: Tracing) -> None:
        self._tracing = tracing
        self._config = config
        self._vkey = witness_key(signer).encode()
        self._witness = witness
        self._threads = ThreadPoolExecutor(THREADS, "witness")
        self._verdicts: Counter[str] = Counter()
        self._requests = OwnRequests(ROUTES)
        self._cosigned_s: float | None = None

    async def run(self, *, with_parent: bool) -> int:
        """Serve until told to stop; return the exit code."""
        stopping = asyncio.Event()
        stop_when_told(stopping, with_parent=with_parent)
        config = self._config
        runner = await serve_http(self._public(), (config.host, config.port))
        for_operators = operations(exposition.Vocabulary(), self._snapshot)
        operators = await serve_http(for_operators, (config.metrics_host, config.metrics_port))
        ready = {
            "witness": address_of(runner),
            "metrics": f"{address_of(operators)}/metrics",
            "vkey": self._vkey,
        }
        write_json(Path(config.data) / "witness.json", ready)
        _log.info("verifier key %s, at %s, metrics %s", self._vkey, ready["witness"], ready["metrics"])
        await stopping.wait()
        _log.info("told to stop: requests under way are answered")
        await runner.cleanup()
        await operators.cleanup()
        self._threads.shutdown()
        _log.info("ended")
        return 0

    def _public(self) -> web.Application:
        middlewares = [request_ids(self._tracing), self._requests.middleware, problems]
        app = web.Application(middlewares=middlewares, client_max_size=REQUEST_LIMIT_BYTES)
        app.add_routes([web.post(ADD_CHECKPOINT, self._add_checkpoint, name="add_checkpoint"), *probes()])
        return app

    async def _add_checkpoint(self, request: web.Request) -> web.Response:
        async with reading(READ_S):
            body = await request.read()
        now = int(time.time())
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, self._witness.add_checkpoint, body, now)
        except OSError:
            self._verdicts[FAILED] += 1
            raise
        self._verdicts[answer.verdict.label] += 1
        if answer.verdict is Verdict.COSIGNED:
            self._cosigned_s = now
        kind = SIZE_TYPE if answer.verdict is Verdict.CONFLICT else TEXT
        text = answer.body if answer.body.endswith("\n") else answer.body + "\n"
        return web.Response(body=text.encode(), status=answer.verdict.value, headers={"Content-Type": kind})

    async def _snapshot(self) -> WitnessSnapshot:
        return WitnessSnapshot(
            version=VERSION,
            requests=self._requests.by_route(),
            request_durations=self._requests.durations(),
            verdicts=dict(self._verdicts),
            logs=len(self._witness.sizes),
            cosigned_s=self._cosigned_s,
        )


def run_witness(config: WitnessSettings, *, with_parent: bool = False) -> int:
    """Run a witness in this process until SIGTERM; return the exit code.

    Raises:
        WitnessSetupError: it has no key and no name, or the list of logs cannot be used.
        WitnessStateError: another witness owns the folder, or what it has cosigned cannot be read.
        OSError: a port is in use, or the disk refuses.
    """
    data = Path(config.data)
    signer = load_or_create_key(data / "witness.key", config.name)
    try:
        trusted = TrustedLogs(config.log_keys, [Path(file) for file in config.log_files])
    except (NoteError, TrustPolicyError) as error:
        raise WitnessSetupError(f"the logs to watch: {error}") from None
    if not len(trusted):
        _log.warning("no log is watched yet: add its verifier key with --log or to a file named with --logs")
    with (
        contextlib.closing(Witness(data, signer, trusted)) as witness,
        contextlib.closing(begin_tracing(config.traces, config.traces_share, "witness")) as tracing,
    ):
        return asyncio.run(WitnessService(config, signer, witness, tracing).run(with_parent=with_parent))


def main() -> None:
    """Run a witness whose configuration is one line of JSON on standard input; it ends with its parent."""
    config = WitnessSettings.from_line(sys.stdin.buffer.readline())
    begin_logging(config.log_format, config.log_level, "witness")
    with one_sentence(OSError, WitnessSetupError, WitnessStateError):
        sys.exit(run_witness(config, with_parent=True))


if __name__ == "__main__":
    main()
