"""Service level objectives of one event, and the alerts on how fast their budgets burn.

Google's SRE workbook ("Alerting on SLOs", multiwindow, multi-burn-rate) spends the budget of 30 days. An event is over
in three: what is spent in a keynote is not earned back. So the period here is the time in which the doors are open,
three days of ten hours; a burn rate of 1 spends the budget in just that time. Windows are minutes, because an hour is a
whole session.

Each objective is two series of events a second, what was asked and what of it failed, from which everything else
follows. Where the doors are open and something is late the event is time itself: one second a second. Failed is only
what is our fault. A viewer's expired token is an answer as good as any.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from metrics import queries
from metrics import rule_queries as q
from metrics.promql import in_rules
from metrics.rule import Recording
from metrics.scraping import INTERVAL_S

EVENT_OPEN_H: Final = 30
"""Three days of ten hours."""
SAMPLED: Final = in_rules("1m")
"""Short rates are kept; longer windows are sums of them, which cost nothing however many series there are."""


@dataclass(frozen=True, slots=True)
class Burn:
    """A share of the event's budget that is spent within so many minutes; the short window ends the alert."""

    share: Fraction
    long_m: int
    short_m: int

    @property
    def rate(self) -> float:
        """How many times faster than evenly over the event."""
        return float(self.share * EVENT_OPEN_H * 60 / self.long_m)


FAST: Final = Burn(Fraction(1, 20), 5, 1)
"""18 times: all is spent in an hour and forty minutes, one long keynote."""
STEADY: Final = Burn(Fraction(1, 10), 30, 5)
"""6 times: all is spent in five hours, half a day."""
SLOW: Final = Burn(Fraction(1, 10), 60, 5)
"""3 times: all is spent in ten hours, the first of three days."""
BURNS: Final = (FAST, STEADY, SLOW)
WINDOWS_M: Final = sorted({minutes for burn in BURNS for minutes in (burn.long_m, burn.short_m)})


@dataclass(frozen=True, slots=True)
class Objective:
    """What share of what is asked may not fail. `asked` and `failed` are PromQL, per second, without labels.

    Fewer than `least` asked a second are reckoned as that many: one refusal in an empty hall is no outage.
    """

    name: str
    target: float
    asked: str
    failed: str
    least: float

    @property
    def budget(self) -> float:
        """The share that may fail."""
        return round(1 - self.target, 6)

    def errors(self, minutes: int) -> str:
        """Return the selector of the share that failed over one of WINDOWS_M."""
        return f'slo:errors:ratio_rate{minutes}m{{slo="{self.name}"}}'

    def burns(self, *burns: Burn) -> str:
        """Return the expression of an alert: over both windows of one of these, the budget burns that fast."""
        return "\nor\n".join(
            f"(\n  {self.errors(burn.long_m)} > {self.budget * burn.rate:g}\n  and\n"
            f"  {self.errors(burn.short_m)} > {self.budget * burn.rate:g}\n)"
            for burn in burns
        )


HEARTBEATS: Final = Objective(
    "heartbeats_accepted",
    0.999,
    queries.HEARTBEATS(SAMPLED),
    q.HEARTBEATS_FAILED(SAMPLED),
    least=1,
)
"""A player sends again, and a minute needs one heartbeat of two: one in a thousand changes no count."""
JOINS: Final = Objective(
    "joins_accepted",
    0.99,
    queries.JOINS(SAMPLED),
    q.JOINS_FAILED(SAMPLED),
    least=0.1,
)
"""In a rush some players are told to come back in seconds; they wait for nothing but to be counted."""
FRESHNESS: Final = Objective(
    "live_fresh",
    0.99,
    q.DOORS_OPEN,
    f"{q.LIVE_STALE_OR_NONE(SAMPLED)} * {q.DOORS_OPEN}",
    least=1,
)
"""18 minutes in three days during which the control room sees old numbers, and sees that they are old."""
SEALING: Final = Objective(
    "windows_sealed",
    0.99,
    q.DOORS_OPEN,
    f"{q.SEALING_LATE_OR_DOWN(SAMPLED)} * {q.DOORS_OPEN}",
    least=1,
)
"""18 minutes during which a minute that is over is not in the public log. It is sealed later: nothing is lost."""
OBJECTIVES: Final = (HEARTBEATS, JOINS, FRESHNESS, SEALING)


def recordings() -> Iterator[Recording]:
    """Yield the recording rules of all objectives, in the order in which they need each other."""
    for each in OBJECTIVES:
        slo = {"slo": each.name}
        yield Recording("slo:asked:rate1m", each.asked, slo)
        yield Recording("slo:failed:rate1m", each.failed, slo)
        kept = f'{{slo="{each.name}"}}'
        for minutes in WINDOWS_M:
            # Sums and not averages: in a Prometheus that has just begun what was before counts as good.
            least = each.least * minutes * 60 / INTERVAL_S
            failed = f"sum_over_time(slo:failed:rate1m{kept}[{minutes}m])"
            asked = f"clamp_min(sum_over_time(slo:asked:rate1m{kept}[{minutes}m]), {least:g})"
            yield Recording(f"slo:errors:ratio_rate{minutes}m", f"{failed}\n/\n{asked}", slo)
        failed, asked = (f"sum_over_time(slo:{what}:rate1m{kept}[3d])" for what in ("failed", "asked"))
        spent = f"{failed}\n/\nclamp_min({asked}, 1)\n/\n{each.budget:g}"
        yield Recording("slo:budget_spent:ratio3d", spent, slo)
