"""`turnout plan`: what an audience needs, before anything is rented."""

import click

from deploy.sizing import Audience, needs_of, rows
from gateway.check_lines import say


@click.command()
@click.option("--viewers", type=click.IntRange(1, 1_000_000_000), required=True, help="At the same time, at the peak.")
@click.option("--attendees", type=click.IntRange(1, 1_000_000_000), help="In the whole event. Default: as many.")
@click.option("--sessions", type=click.IntRange(1, 65_535), default=25, show_default=True, help="At the same time.")
@click.option("--interval", "interval_s", type=click.IntRange(5, 54), default=30, show_default=True,
              help="Seconds between two heartbeats of a player.")  # fmt: skip
@click.option("--arrive", "arrive_s", type=click.IntRange(1), default=300, show_default=True,
              help="Seconds in which all of them join.")  # fmt: skip
@click.option("--outage", "outage_s", type=click.IntRange(0), default=3600, show_default=True,
              help="Seconds for which gateways shall hold what a lost ledger cannot take.")  # fmt: skip
def plan(viewers: int, attendees: int | None, **how: int) -> None:
    """Work out the cores, memory, disk and network that an audience needs.

    From costs measured on two cores of one virtual machine (docs/performance.md): what to rent and measure, not what
    will be.

    \b
    Example:
      turnout plan --viewers 250000 --attendees 600000 --interval 45
    """
    if attendees is not None and attendees < viewers:
        raise click.BadParameter("fewer than watch at the same time", param_hint="--attendees")
    found = list(rows(needs_of(Audience(viewers, attendees or viewers, **how))))
    width = max(len(what) for what, _ in found)
    for what, how_much in found:
        say(f"  {what:<{width}}  {how_much:>10}")
