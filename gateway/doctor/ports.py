"""Whether a port is free, and who has it (proc(5): /proc/net/tcp, /proc/PID/fd)."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.doctor.finding import Finding, fail, ok, warn

_LISTENS: Final = "0A"
_OURS: Final = ("turnout", "gateway.supervisor", "gateway.worker", "gateway.ledger_service", "gateway.witness_service",
                "gateway.cli")  # fmt: skip


def port(check: str, host: str, number: int) -> Finding:
    """Find out whether a port could be listened on now."""
    where = f"{host}:{number}"
    if not number:
        return ok(check, "any that is free")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return fail(check, f"{where} cannot be listened on: {error.strerror or error}",
                            "Give an address of this host, and a port above 1023.")  # fmt: skip
            return judge_taken(check, where, [*holders(number)])
    return ok(check, f"{where} is free")


def judge_taken(check: str, where: str, held_by: list[tuple[int, str]]) -> Finding:
    """Judge a port that somebody listens on.

    Args:
        check: its name in the report.
        where: host and port.
        held_by: process ids and command lines; none = another user's.
    """
    if not held_by:
        return fail(check, f"{where} is taken by a program of another user", "Stop it, or choose another port.")
    # A socket that systemd holds for a gateway is its own too, and it is process 1: ours is who counts.
    ours = [(pid, command) for pid, command in held_by if any(name in command for name in _OURS)]
    pid, command = (ours or held_by)[0]
    said = f"{where} is taken by process {pid}: {command[:80]}"
    if ours:
        return warn(check, said, "Turnout runs here already: nothing to do, unless another one was meant to.")
    return fail(check, said, "Stop it, or choose another port.")


def holders(number: int) -> Iterator[tuple[int, str]]:
    """Yield process id and command line of who listens on a port of this host, as far as this user may see."""
    sockets = {f"socket:[{inode}]" for inode in _listening(number)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(descriptor.readlink()) in sockets for descriptor in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                yield int(process.name), command
        except OSError:
            continue  # it has ended, or is another user's


def _listening(number: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == number:
                yield fields[9]
