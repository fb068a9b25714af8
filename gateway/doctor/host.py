"""The machine: its clock, disks, limit of open files, cores, and the kernel's queues."""

import ctypes
import os
import resource
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counters.disk_room import LOW_WATER_BYTES
from deploy.sizing import Audience, amount, needs_of
from gateway.doctor.finding import Finding, fail, ok, unknown, warn
from gateway.listening import BACKLOG
from gateway.quantity import quantity

FILES_BESIDE: Final = 200
"""A worker's files that are no viewer's connection: its spool, Redis, the ledger, the libraries."""
ALLOCATED_BYTES: Final = 1024 * 1024
"""A spool's chunk is of this order: what can be allocated once can be again, while there is room."""
UNSAFE: Final = (
    (
        ("nfs", "cifs", "smb", "9p", "ceph", "gluster", "fuse", "afs", "virtiofs"),
        "a file system over the network",
        "Choose a local disk: when the network is away, so is what was accepted.",
    ),
    (("tmpfs", "ramfs"), "it is memory", "Choose a disk: this is gone when the host restarts."),
    (("overlay",), "a container's own layer", "Mount a volume: this is gone with the container."),
)
"""Beginnings of kinds of file systems, what they are, and what to do."""
_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while nobody keeps the clock in step."""


# The clock.


def kernel_clock() -> Finding:
    """Find out whether something keeps this host's clock in step (adjtimex(2), read only)."""
    timex = ctypes.create_string_buffer(512)  # struct timex with its `modes` 0: nothing is set
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return unknown("clock", "this kernel does not say whether its clock is in step", "Look at it yourself.")
    (largest_error_us,) = struct.unpack_from("@q", timex, 24)
    return judge_kernel_clock(in_step=state != _TIME_ERROR, largest_error_us=largest_error_us)


def judge_kernel_clock(*, in_step: bool, largest_error_us: int) -> Finding:
    """Judge what the kernel says of its clock."""
    if in_step:
        return ok("clock", f"kept in step, off by at most {largest_error_us / 1e6:.3f} s")
    return warn(
        "clock",
        "the kernel says that nobody keeps its clock in step",
        "Run chrony or systemd-timesyncd on the host (a container has its host's clock): minutes are counted by it.",
    )


# Disks.


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A folder's disk."""

    folder: Path  # or the nearest above it that is there
    kind: str  # of its file system
    free_bytes: int
    refusal: str  # why nothing could be allocated and written there; "" = it could


def look_at_disk(folder: Path) -> DiskFacts:
    """Look at the disk of a folder that may have still to be made; a file is made there and is gone at once."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    refusal = ""
    try:
        # Without a name: nothing of it stays, however this ends.
        with tempfile.TemporaryFile(dir=there) as file:
            os.posix_fallocate(file.fileno(), 0, ALLOCATED_BYTES)
            file.write(b"turnout doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        refusal = error.strerror or str(error)
    disk = os.statvfs(there)
    mounts = Path("/proc/self/mountinfo")
    text = mounts.read_text(encoding="utf-8") if mounts.exists() else ""
    return DiskFacts(there, kind_of(there.resolve(), text), disk.f_bavail * disk.f_frsize, refusal)


def kind_of(path: Path, mountinfo: str) -> str:
    """Return the kind of file system a path is on, by /proc/self/mountinfo (proc(5)); "" if it does not say."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, behind = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not behind:
            continue
        point = fields[4].replace("\\040", " ")
        # The last one of a point hides those before it.
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), behind.split()[0]
    return kind


def judge_disk(check: str, facts: DiskFacts, needed_bytes: int, whole_bytes: int, why: str) -> Finding:
    """Judge a disk.

    Args:
        check: its name in the report.
        facts: what it is.
        needed_bytes: without so much it fails.
        whole_bytes: with less than so much somebody should look at it.
        why: what those are for, as the end of a sentence.
    """
    free = f"{amount(facts.free_bytes)} free in {facts.folder} ({facts.kind or 'unknown file system'})"
    if facts.refusal:
        return fail(check, f"{facts.folder} takes no file: {facts.refusal}",
                    "Choose a folder that this user may write to, on a disk with room.")  # fmt: skip
    needed = max(needed_bytes, LOW_WATER_BYTES)
    if facts.free_bytes < needed:
        return fail(check, f"{free}, and {amount(needed)} are needed {why}", "Make room, or choose another disk.")
    for kinds, what, why_not in UNSAFE:
        if facts.kind.startswith(kinds):
            return warn(check, f"{free}: {what}", why_not)
    if facts.free_bytes < whole_bytes:
        return warn(check, f"{free}, less than the {amount(whole_bytes)} of the whole event {why}",
                    "Make room before the event, and watch it.")  # fmt: skip
    return ok(check, free)


# Limits.


def open_files(viewers: int, workers: int) -> Finding:
    """Find out whether a worker may have a connection for each of its viewers."""
    return judge_open_files(viewers, workers, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def judge_open_files(viewers: int, workers: int, limit: int) -> Finding:
    """Judge the hard limit of open files, which a worker sets itself."""
    wanted = -(-viewers // workers) + FILES_BESIDE
    said = f"{limit:,} a worker, {wanted:,} for {quantity(viewers, 'viewer')} at {quantity(workers, 'worker')}"
    if limit == resource.RLIM_INFINITY or limit >= wanted:
        return ok("open files", said if limit != resource.RLIM_INFINITY else "no limit")
    return fail("open files", said, f"Raise it: LimitNOFILE={2 * wanted} for systemd, ulimit -Hn {2 * wanted} for a "
                "shell; or run more workers.")  # fmt: skip


def cores(viewers: int, workers: int, interval_s: int) -> Finding:
    """Find out whether workers and cores are enough."""
    there = len(os.sched_getaffinity(0))
    return judge_cores(needs_of(Audience(viewers, viewers, interval_s=interval_s)).gateway_cores, workers, there)


def judge_cores(wanted: int, workers: int, there: int) -> Finding:
    """Judge workers against the cores that there are and those that the audience takes by what was measured."""
    said = f"{quantity(workers, 'worker')}, {quantity(there, 'core')}, of which this audience takes {wanted}"
    if wanted > there:
        return warn("cores", said, "Spread the audience over more hosts (turnout plan says over how many).")
    if workers > there:
        return warn("cores", said, f"Give --workers {there}: more than cores only take turns.")
    if workers < wanted:
        return warn("cores", said, f"Give --workers {wanted}: one worker uses one core.")
    return ok("cores", said)


def accept_queue() -> Finding:
    """Find out whether the kernel lets connections wait that arrive at once."""
    try:
        return judge_accept_queue(int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return unknown("accept queue", "net.core.somaxconn cannot be read here", "Look at it on the host.")


def judge_accept_queue(limit: int) -> Finding:
    """Judge net.core.somaxconn, which cuts every server's queue."""
    if limit >= BACKLOG:
        return ok("accept queue", f"net.core.somaxconn is {limit:,}")
    return warn("accept queue", f"net.core.somaxconn is {limit:,}: of those who come at once more are turned away",
                f"sysctl net.core.somaxconn={BACKLOG}")  # fmt: skip


def proxy_ports(viewers: int) -> Finding:
    """Find out how many connections a load balancer on this host can open to one port."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
        return judge_proxy_ports(viewers, int(high) - int(low) + 1)
    except (OSError, ValueError):
        return unknown("proxy's ports", "net.ipv4.ip_local_port_range cannot be read here", "Look at it on the host.")


def judge_proxy_ports(viewers: int, ports: int) -> Finding:
    """Judge the range of ports that a load balancer on one address has for its side of the connections."""
    said = f"a load balancer with this kernel's range has {ports:,} connections to one gateway"
    if ports >= viewers:
        return ok("proxy's ports", said)
    return warn("proxy's ports", said, "It must keep fewer connections than viewers (a keep-alive pool), or: sysctl "
                "net.ipv4.ip_local_port_range='1024 65535'")  # fmt: skip
