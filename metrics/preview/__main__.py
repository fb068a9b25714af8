"""`python -m metrics.preview`: draws the four dashboards from a Prometheus that has scraped an event."""

import sys
import time
from pathlib import Path

import click

from metrics.dashboards.collection import DASHBOARDS
from metrics.preview.asking import AnswerError, Asking, Span
from metrics.preview.page import picture

CAPTION = "Drawn by Turnout from the data of a Prometheus; not Grafana's rendering."


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--prometheus", "url", default="http://127.0.0.1:9090", show_default=True, help="Its address.")
@click.option("--event", required=True, help="The id of the event.")
@click.option(
    "--minutes", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="How far to look back."
)
@click.option("--until", type=float, help="Look at what was then, unix seconds. Default: now.")
@click.option("--scrape-s", type=click.FloatRange(min=0.1), default=15.0, show_default=True,
              help="How often that Prometheus scrapes.")  # fmt: skip
@click.option("--caption", default=CAPTION, help="What the picture says of itself.")
def main(
    folder: Path, url: str, event: str, minutes: float, until: float | None, scrape_s: float, caption: str
) -> None:
    """Write FOLDER/turnout-….svg, one picture for each dashboard."""
    ends_s = float(int(until or time.time()))
    asking = Asking(url.rstrip("/"), Span(ends_s - 60 * minutes, ends_s, scrape_s), event)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for dashboard in DASHBOARDS:
            path = folder / f"{dashboard.uid}.svg"
            path.write_text(picture(dashboard, asking, caption), encoding="utf-8")
            click.echo(path)
    except AnswerError as error:
        sys.exit(f"Prometheus at {url} did not answer as expected: {error}")


if __name__ == "__main__":
    main()
