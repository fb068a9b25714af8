"""A witness as a process of its own, which a test may kill, stop, resume and start again."""

import json
import sys
from pathlib import Path
from typing import Any

from gateway.settings import WitnessSettings
from load_tests.ports import free_port
from tests.faults.parts import Part
from tests.gateway.commands import port_of
from tests.gateway.serving import Answer, ask

ADD_CHECKPOINT = "/add-checkpoint"


class WitnessPart(Part):
    """One witness on a port of its own. It watches the logs in the file `logs`, which a test may write."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name, folder)
        self.data = folder / name
        self.logs = folder / "logs.txt"
        self.logs.touch()
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _said(self) -> dict[str, Any]:
        return dict(json.loads((self.data / "witness.json").read_text()))

    @property
    def vkey(self) -> str:
        return str(self._said["vkey"])

    @property
    def metrics_url(self) -> str:
        return str(self._said["metrics"])

    def watch(self, *vkeys: str) -> None:
        """Trust these logs, too."""
        self.logs.write_text(self.logs.read_text() + "".join(f"log {vkey}\n" for vkey in vkeys))

    def add(self, body: bytes) -> Answer:
        """Ask it to cosign."""
        return ask(self.port, "POST", ADD_CHECKPOINT, body, {"Content-Type": "text/plain"})

    def metrics(self) -> str:
        return ask(port_of(self.metrics_url), "GET", "/metrics").body.decode()

    def cosigned(self) -> bytes | None:
        """The checkpoint that it has on its disk, if it watches one log."""
        kept = list((self.data / "logs").glob("*/checkpoint"))
        return kept[0].read_bytes() if kept else None

    def evidence(self) -> list[Path]:
        """What it keeps against logs."""
        return [path for path in (self.data / "misbehaviour").rglob("*") if path.is_file()]

    def _prepare(self) -> None:
        (self.data / "witness.json").unlink(missing_ok=True)

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "gateway.witness_service"]

    def _first_line(self) -> bytes:
        return WitnessSettings(
            data=str(self.data), name=f"witness.test/{self.name}", log_files=(str(self.logs),),
            host="127.0.0.1", port=self.port, metrics_host="127.0.0.1", metrics_port=0,
        ).start_line()  # fmt: skip

    def _serves(self) -> bool:
        return (self.data / "witness.json").exists()
