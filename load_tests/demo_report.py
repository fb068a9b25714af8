"""What the demo prints: the plan, the live estimates beside the truth, and the certificate beside the ground truth."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from load_tests.audience import Plan
from load_tests.comparison import Compared
from load_tests.replay import Totals
from load_tests.scenario import Scenario
from load_tests.server_process import Running

SHOWN_PROBLEMS: Final = 20
LOG_LINES: Final = 40
SUSPECT_ERRORS: Final = 5.0
"""An estimate further than this many standard errors from the truth would be a fault, not chance."""


@dataclass(frozen=True, slots=True)
class Look:
    """The live estimate at one step, and the truth."""

    at: int  # unix s, simulated
    estimate: int
    truth: int
    standard_error: float  # relative
    stale: bool

    @property
    def errors(self) -> float:
        """The difference in standard errors."""
        return (self.estimate - self.truth) / max(1e-9, self.truth * self.standard_error)


def _count(number: float | None) -> str:
    if number is None:
        return "withheld"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}"


def _bounds(bounds: tuple[float, float | None] | None) -> str:
    """What gaps leave open, behind the number."""
    if bounds is None:
        return ""
    least, most = bounds
    return f" ({_count(least)} to {'?' if most is None else _count(most)})"


def _millions(number: float) -> str:
    return f"{number / 1e6:,.1f} million" if number >= 1e6 else f"{number:,.0f}"


class Report:
    """Prints the demo to one console."""

    def __init__(self, scenario: Scenario, console: Console) -> None:
        self.scenario = scenario
        self.console = console

    def introduce(self, plan: Plan) -> None:
        """Say what is about to happen."""
        programme, people = self.scenario.programme, self.scenario.people
        self.console.print(
            Panel(
                f"[bold]{programme.name}[/bold]\n"
                f"{len(programme.sessions)} sessions on {len(programme.days)} days, "
                f"{people.online:,} attendees online, {people.onsite:,} on site, {people.both:,} of them both; "
                f"{people.staff:,} staff, who are not counted.\n"
                f"{plan.joins():,} joins, {plan.heartbeats(programme.interval_s):,} heartbeats, {len(plan.scans):,} "
                "badge scans through real HTTP, on a simulated clock that jumps when everything has been answered.\n"
                f"One simulated attendee stands for {self.scenario.represents:,}.",
                title="SIMULATED",
            )
        )

    def started(self, running: Running) -> None:
        """Say where the server listens."""
        self.console.print(f"Turnout is up: {running.gateway} (gateway), {running.ledger} (ledger), {running.metrics}")

    def look(self, look: Look) -> None:
        """Print a live estimate beside the truth."""
        when = self.scenario.programme.iso(look.at)[:16].replace("T", " ")
        note = " (stale)" if look.stale else ""
        if abs(look.errors) > SUSPECT_ERRORS:
            note += " [red]— more than chance: the live path has lost something[/red]"
        self.console.print(
            f"SIMULATED {when}  live, HyperLogLog in Redis: {look.estimate:,} attendees; truth {look.truth:,} "
            f"({look.errors:+.1f} standard errors){note}",
            highlight=False,
        )

    def replayed(self, totals: Totals, seconds: float) -> None:
        """Sum the replay up."""
        again = f" ({totals.tried_again:,} requests at a second try)" if totals.tried_again else ""
        self.console.print(
            f"Replayed in {seconds:.0f} s: {totals.heartbeats:,} heartbeats, {totals.leaves:,} goodbyes, "
            f"{totals.joins:,} joins, {totals.scans:,} scans{again}. Every one was answered.",
            highlight=False,
        )

    def failed(self, failure: BaseException, log: Path) -> None:
        """Say what went wrong, and show the end of the server's log."""
        self.console.print(
            f"\nThe demo failed: {type(failure).__name__}: {failure}", style="red", markup=False, soft_wrap=True
        )
        if log.exists() and str(log) not in str(failure):
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            self.console.print(f"\nThe end of {log}:", style="bold")
            self.console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)

    def conclude(
        self,
        certificate: Mapping[str, Any],
        compared: Sequence[Compared],
        verified: subprocess.CompletedProcess[str],
        data: Path,
    ) -> bool:
        """Print the result; returns whether the certificate verified and every number equals the truth."""
        self.console.print((verified.stdout + verified.stderr).strip(), markup=False, highlight=False)
        self._headlines(compared)
        self._two_headlines(compared)
        self._cross_check(certificate)
        wrong = [line for line in compared if line.problem]
        for line in wrong[:SHOWN_PROBLEMS]:
            self.console.print(f"  {line}", style="red", markup=False)
        withheld = sum(line.suppressed for line in compared)
        self.console.print(
            f"\nSIMULATED. Ground truth: [bold]{len(compared) - len(wrong):,} of {len(compared):,}[/bold] numbers of "
            f"the certificate are equal to the last person; {withheld:,} of them are withheld, being under 10 or "
            "beside one that is.",
            highlight=False,
        )
        held = bool(compared) and not wrong and verified.returncode == 0
        self._files(data)
        verdict = "verified" if verified.returncode == 0 else f"NOT VERIFIED (exit code {verified.returncode})"
        self.console.print(
            f"\n{'All held' if held else 'NOT all held'}: certificate {verdict}, {len(wrong):,} numbers differ. "
            "SIMULATED.",
            style="bold green" if held else "bold red",
        )
        return held

    def _headlines(self, compared: Sequence[Compared]) -> None:
        table = Table(title="Certificate and ground truth, whole event (SIMULATED)", title_justify="left")
        table.add_column("rule")
        for column in ("certificate", "ground truth", f"× {self.scenario.represents:,}"):
            table.add_column(column, justify="right")
        table.add_column("")
        for line in compared:
            if set(line.scope) <= {"channel"}:
                name = line.rule + (f", {line.scope['channel']}" if line.scope else "")
                certified = _count(line.certified) + _bounds(line.bounds)
                scaled = "" if line.certified is None else f"{line.certified * self.scenario.represents:,.0f}"
                mark = "[red]differs[/red]" if line.problem else "equal"
                table.add_row(name, certified, _count(line.truth.value), scaled, mark)
        self.console.print(table)

    def _two_headlines(self, compared: Sequence[Compared]) -> None:
        """Explain how one ledger gives both figures that were printed in 2023."""
        certified = {(line.rule, line.scope.get("channel", "")): line.certified for line in compared
                     if set(line.scope) <= {"channel"}}  # fmt: skip
        unique = certified.get(("unique-attendees-online", ""))
        daily = certified.get(("daily-attendance-sum", "online"))
        if unique is None or daily is None:
            return
        times = self.scenario.represents
        self.console.print(
            Panel(
                f"One ledger, two rules. Times {times:,}, [bold]{_millions(unique * times)}[/bold] people watched "
                "(unique-attendees-online: each counted once). The same people came on "
                f"{daily / max(1, unique):.2f} days on average, and whoever adds up the days prints "
                f"[bold]{_millions(daily * times)}[/bold] (daily-attendance-sum, online: person-days). Both are true "
                "of the same evidence; only one of them is a number of people. A figure without its rule says neither.",
                title=f"SIMULATED: {_millions(unique * times)} or {_millions(daily * times)}?",
            )
        )

    def _cross_check(self, certificate: Mapping[str, Any]) -> None:
        """Print the two paths that count the same thing: HyperLogLog beside exact."""
        check = certificate["cross_check"]
        windows, whole = check["windows"], check["unions"][0]
        text = (
            f"HyperLogLog beside the exact count, {check['rule']}: {whole['estimate']:,} estimated, {whole['exact']:,} "
            f"counted ({whole['difference_in_standard_errors']:+.1f} standard errors)."
        )
        if worst := windows["largest_deviation"]:
            text += (
                f" {windows['compared']:,} windows compared, the largest deviation "
                f"{worst['difference_in_standard_errors']:+.1f} standard errors ({worst['estimate']:,} for "
                f"{worst['exact']:,}, {worst['session'] or 'whole event'}, {worst['window'][:16].replace('T', ' ')}). "
                "In a small room the few who share a register are too few to average out, minute after minute: the "
                "largest deviation is usually there."
            )
        self.console.print(f"\nCross-check. {text}", highlight=False, markup=False)

    def _files(self, data: Path) -> None:
        self.console.print("\nThe files:", style="bold")
        for name, what in (
            ("certificate.json", "the certificate, and certificate.tlog-proof beside it: its proof"),
            ("report.pdf", "the same, to read and to hand over; report.xlsx: its tables"),
            ("log/", "the public log: checkpoint and tiles"),
            ("evidence/", "the segments, for auditors"),
            ("trust-policy", "whose log to believe in, for turnout verify --policy"),
            ("event.toml", "the event file; leaf 0 of the log"),
            ("up.log", "what the server said"),
        ):
            self.console.print(f"  {data / name}  {what}", highlight=False, soft_wrap=True)
