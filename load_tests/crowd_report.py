"""What a run of the crowd came to: the faults that fail it, the text for the terminal, and run.json."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from counters.verify import Report
from load_tests.comparison import Compared
from load_tests.crowd_scenario import CrowdScenario
from load_tests.player_line import now
from load_tests.virtual_player import OUT_OF_THE_BLUE, Run

SHOWN_NUMBERS: Final = 20
FAULTS: Final = ("unexpected answers", "heartbeats turned away", "tokens refused", "players never let in")
"""Counts of the tally that have to be zero; and so have all that broke out of the blue."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that is known at the end."""

    scenario: CrowdScenario
    devices: int
    run: Run
    verified: Report
    compared: tuple[Compared, ...]

    @property
    def wrong(self) -> tuple[Compared, ...]:
        """The numbers that are not what they should be."""
        return tuple(line for line in self.compared if line.problem)

    @property
    def bounded(self) -> tuple[Compared, ...]:
        """The numbers of which only bounds are known from outside."""
        return tuple(line for line in self.compared if line.truth.highest is not None)

    def faults(self) -> list[str]:
        """Return, in words, everything that fails the run."""
        tally = self.run.tally
        faults = [f"{name}: {tally[name]:,}" for name in tally if name in FAULTS or name.endswith(OUT_OF_THE_BLUE)]
        faults = [fault for fault in faults if not fault.endswith(": 0")]
        faults += self.run.unexpected
        if tally["players done"] != self.devices:
            faults.append(
                f"{self.devices - tally['players done']:,} of {self.devices:,} players did not come to an end"
            )
        if not tally["heartbeats"] or not self.compared:
            faults.append("nothing was counted")
        faults += [f"the certificate does not verify: {check.name}: {check.detail}" for check in self.verified.failed]
        if self.wrong:
            faults.append(f"{len(self.wrong):,} numbers of the certificate are not what the players know")
            faults += [str(line) for line in self.wrong[:SHOWN_NUMBERS]]
        return faults

    @property
    def held(self) -> bool:
        """Whether nothing failed."""
        return not self.faults()


def _rows(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in rows.items()]


def text(outcome: Outcome) -> str:
    """Return the report for the terminal."""
    run = outcome.run
    lines = ["", "What happened", *_rows({name: f"{count:,}" for name, count in sorted(run.tally.items()) if count})]
    lines += ["", "Latency in ms, charged from the scheduled time"]
    for latency in (run.heartbeats, run.joins, run.lateness):
        found = "  ".join(f"{name} {value:,.2f}" for name, value in latency.milliseconds().items())
        lines.append(f"  {latency.name:<10}  {latency.count:>9,}  {found}")
    lines.append("  (lateness is this load generator's own; joins include the time that players were told to wait)")
    lines += ["", "Certificate and ground truth, whole event", *_rows(_headlines(outcome))]
    lines += ["", *_sums(outcome)]
    faults = outcome.faults()
    lines += ["", *(f"FAULT {fault}" for fault in faults), "NOT all held." if faults else "All held."]
    return "\n".join(lines)


def _sums(outcome: Outcome) -> list[str]:
    uncertain, checks = outcome.run.acknowledged, outcome.verified
    bounded, wrong = sum(not line.problem for line in outcome.bounded), len(outcome.wrong)
    equal = len(outcome.compared) - wrong - bounded
    held = len(checks.checks) - len(checks.failed) - len(checks.unchecked)
    return [
        f"Numbers: {len(outcome.compared):,} compared, {equal:,} equal, {bounded:,} within bounds, {wrong:,} wrong.",
        f"Heartbeats answered after a minute's edge: {uncertain.ambiguous:,}.",
        f"Without an answer: {uncertain.unanswered:,} heartbeats, {uncertain.unanswered_joins:,} joins.",
        f"Certificate: {held} checks hold, {len(checks.failed)} fail, {len(checks.unchecked)} need more.",
    ]


def _headlines(outcome: Outcome) -> dict[str, str]:
    rows: dict[str, str] = {}
    for line in outcome.compared:
        if set(line.scope) <= {"channel"} and line.scope.get("channel") != "onsite":
            name = line.rule + (f", {line.scope['channel']}" if line.scope else "")
            certified = "withheld" if line.certified is None else f"{line.certified:,}"
            rows[name] = f"{certified:>14}  truth {line.truth}" + (f"  {line.problem}" if line.problem else "")
    return rows


def write(outcome: Outcome, folder: Path) -> None:
    """Write run.json and a histogram log (`.hdr`) for each latency into a folder."""
    run = outcome.run
    latencies = (run.heartbeats, run.joins, run.lateness)
    for latency in latencies:
        latency.write(folder / f"{latency.name}.hdr", run.started_at, now())
    document: dict[str, Any] = {
        "scenario": outcome.scenario.name,
        "seed": outcome.scenario.seed,
        "people": outcome.scenario.people,
        "devices": outcome.devices,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.started_at)),
        "lasted_s": outcome.scenario.lasts_s,
        "tally": dict(sorted(run.tally.items())),
        "latency_ms": {latency.name: {"count": latency.count} | latency.milliseconds() for latency in latencies},
        "ambiguous_heartbeats": run.acknowledged.ambiguous,
        "unanswered_heartbeats": run.acknowledged.unanswered,
        "unanswered_joins": run.acknowledged.unanswered_joins,
        "numbers": [
            {
                "rule": line.rule,
                "scope": dict(line.scope),
                "certified": line.certified,
                "truth": [line.truth.value, line.truth.value if line.truth.highest is None else line.truth.highest],
                "problem": line.problem,
            }
            for line in outcome.compared
        ],
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail} for check in outcome.verified.checks
        ],
        "faults": outcome.faults(),
    }
    (folder / "run.json").write_text(json.dumps(document, indent=1) + "\n")
