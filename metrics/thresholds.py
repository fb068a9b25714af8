"""Where good ends and bad begins, once: the dashboards colour by these numbers and the alerts fire on them.

Each stands beside its reason. A number that the programs themselves act upon is repeated here, because metrics imports
nothing of the gateway; a test compares the two.
"""

from typing import Final

FLUSH_SLOW_S: Final = 1.0
"""Sketches are flushed each second: a flush that takes longer misses the next one."""
LIVE_AGE_WARN_S: Final = 5.0
LIVE_AGE_BAD_S: Final = 15.0
"""Live numbers are read each second. After 15 s the control room looks at another audience than there is."""

JOIN_SLOW_S: Final = 1.0
"""A viewer who waits longer for the picture notices."""
HEARTBEAT_SLOW_S: Final = 0.1
"""Nobody sees a slow heartbeat; it tells that a worker is short of CPU."""
LOOP_LAG_WARN_S: Final = 0.1
LOOP_LAG_BAD_S: Final = 0.5
"""An event loop is to answer thousands of heartbeats in this time."""
WORKER_SILENT_S: Final = 10.0
"""Workers speak each second; the parent replaces one that says nothing for long."""

CLOCK_OFFSET_REPORTED_S: Final = 2.0
CLOCK_OFFSET_UNREADY_S: Final = 30.0
"""DESIGN.md §5: reported above the one, not ready above the other."""

HANDOVER_SLOW_S: Final = 5.0
"""A segment that takes longer is not there before its window is sealed, 8 s after its end."""
SPOOL_OLD_WARN_S: Final = 30.0
SPOOL_OLD_BAD_S: Final = 120.0
"""A window is handed over within seconds of its end, and sealed 8 s after it without those that were not."""
DISK_FREE_WARN_BYTES: Final = 5_000_000_000
DISK_FREE_BAD_BYTES: Final = 1_000_000_000

SEAL_LATE_S: Final = 10.0
"""A window waits 8 s for workers that are missing: what is sealed later than this has another reason."""
COSIGNED_OLD_WARN_S: Final = 120.0
COSIGNED_OLD_BAD_S: Final = 300.0
"""There is a new leaf each minute, and witnesses are asked at once."""

PATHS_APART_ERRORS: Final = 5.0
PATHS_APART_WINDOWS: Final = 3
"""DESIGN.md §2: more than 5 standard errors in 3 windows running."""

REQUESTS_FAILED_WARN: Final = 0.001
REQUESTS_FAILED_BAD: Final = 0.01
"""Players try again by themselves: one failure in a thousand is noise, one in a hundred is not."""
BESIDE_THE_DOOR_SHARE: Final = 0.01
"""DESIGN.md §3: at least 99 % of heartbeats take the door."""
WORKER_CPU_WARN: Final = 0.7
WORKER_CPU_BAD: Final = 0.9
"""Of one core, which is all that a worker can use: a rush needs the rest."""
FILES_WARN: Final = 0.7
FILES_BAD: Final = 0.9
"""Of the open files that a process may have: each connection is one."""
WORKER_STARTS_MANY: Final = 4
"""Within a quarter of an hour: two rolling restarts are two."""
FLUSH_FAILURES_MANY: Final = 60
"""Of the 300 flushes of five minutes: a replica that takes over needs half a minute."""
SEATS_A_WORKER_FEW: Final = 32_768
"""Half a block of 65,536. A worker holds two blocks beside the one in use, and asks for another when it opens one:
so few are left only if the ledger has granted nothing for long."""
WINDOWS_OVERDUE_MANY: Final = 3
"""One may be on its way, and a restart of the ledger makes two."""
