"""What /metrics shows of a running ledger, gathered from the parts of it that know."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

from counters.newest_window import EVENT, NewestWindow
from counters.presence import ONLINE
from counters.sealing_state import SealingState
from gateway.gateway_api import GatewayNames
from gateway.ledger_parts import LedgerParts
from gateway.operations import identity_of
from gateway.route_metrics import OwnRequests
from gateway.timestamping import Timestamping
from gateway.window_watch import WindowWatch
from gateway.witness_quorum import WitnessQuorum
from metrics.ledger_snapshot import LedgerSnapshot, Sealing, Vouching
from metrics.window_snapshot import WindowSnapshot

ROUTES: Final = (
    "log", "verify", "live", "attendance", "receipt", "certificates", "steering", "issuer_keys", "roll", "audits",
    "retire", "clock", "seats", "evidence", "tokens", "gateway_steering", "greeting", "healthz", "readyz", "other",
)  # fmt: skip
"""What can be asked of a ledger (metrics.catalogue.HTTP_ROUTES)."""
HEARD_S: Final = 10.0
"""A gateway asks the ledger for something each second: one that was not heard for so long is away or cut off."""


class LedgerMetrics:
    """Owned by the ledger's event loop."""

    def __init__(
        self,
        parts: LedgerParts,
        requests: OwnRequests,
        names: GatewayNames,
        quorum: WitnessQuorum,
        timestamping: Timestamping,
        watch: WindowWatch,
    ) -> None:
        """Look at these."""
        self._parts = parts
        self._requests = requests
        self._names = names
        self._quorum = quorum
        self._timestamping = timestamping
        self._watch = watch

    async def snapshot(self) -> LedgerSnapshot:
        """Return the ledger at this moment."""
        parts = self._parts
        now, tick = parts.clock.now(), time.monotonic()
        state = await parts.thread.do(lambda: parts.sealer.state(now))
        return LedgerSnapshot(
            identity=identity_of(parts.event),
            requests=self._requests.by_route(),
            request_durations=self._requests.durations(),
            sealing=self._sealing(state),
            vouching=self._vouching(),
            gateways=len(self._names.heard_within(HEARD_S, tick)),
            gateways_silent=len(state.gateways - self._names.heard_within(HEARD_S, tick)),
            evidence_bytes=state.counts.evidence_bytes + state.waiting_bytes,
            disk_free_bytes=await asyncio.to_thread(_free_bytes, parts.data),
            disk_refuses=bool(parts.thread.refused),
            window=self._window(state),
        )

    def _sealing(self, state: SealingState) -> Sealing:
        return Sealing(
            size=state.size,
            withheld=state.withheld,
            sealed_window_s=float(state.sealed_window) if state.sealed_window else None,
            seal_lag_s=state.seal_lag_s,
            checkpoint_s=state.checkpoint_s,
            set_back=self._parts.lookout.set_back,
            overdue=state.overdue,
            sealed=state.counts.windows,
            with_gaps=state.counts.with_gaps,
            late=state.counts.late,
            missing_workers=state.counts.missing_workers,
            durations=self._parts.thread.seal_durations,
        )

    def _vouching(self) -> Vouching:
        quorum = self._quorum
        return Vouching(
            witnesses=quorum.witnesses,
            quorum=self._parts.event.required_witnesses,
            quorum_held=not quorum.why_not_ready(),
            cosigned_s=quorum.cosigned_s,
            by_witness_s=dict(quorum.by_witness_s),
            cosignings=dict(quorum.counts),
            timestamps=dict(self._timestamping.counts),
        )

    def _window(self, state: SealingState) -> WindowSnapshot:
        seen = self._watch.seen(state.sealed_window) if state.sealed_window else NewestWindow()
        # A session without a row in the leaf had nobody; one that the leaf suppresses has None.
        names = (EVENT, *(session.id for session in self._parts.event.sessions)) if state.sealed_window else ()
        published = {name: state.attendees.get(name, 0) for name in names}
        online = {(name, ONLINE): number for name, number in published.items() if number is not None}
        return WindowSnapshot(online | dict(seen.attendees), seen.countries, seen.differences, self._watch.compared)


def _free_bytes(data: Path) -> int | None:
    try:
        return shutil.disk_usage(data).free
    except OSError:
        return None
