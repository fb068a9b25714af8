"""`turnout report`: the files that an organiser hands over, made from a certificate."""

from pathlib import Path
from typing import Final

import click

from gateway.check_lines import say
from gateway.command_line import Failure, Url, explained

KINDS: Final = (".pdf", ".xlsx", ".zip", ".png")


@click.command()
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", "outputs", multiple=True, type=click.Path(dir_okay=False, path_type=Path),
              help="File to write: .pdf, .xlsx, .zip for CSV, .png for the title page. More than once for several. "
              "[default: CERTIFICATE.pdf and .xlsx]")  # fmt: skip
@click.option("--proof", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Default: the .tlog-proof beside the certificate.")  # fmt: skip
@click.option("--verifier-url", type=Url("http", "https"), default="",
              help="Where readers verify it: the QR code of the PDF. Default: /verify at the log's host.")  # fmt: skip
@click.option("--fonts", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A folder with further fonts, for names in scripts that Libertinus Serif lacks.")  # fmt: skip
@explained
def report(certificate: Path, outputs: tuple[Path, ...], proof: Path | None, **options: object) -> None:
    """Make the files that an organiser hands over from a certificate: PDF, XLSX, CSV.

    They are views: the PDF has the certificate and its proof attached, and says how to check them. A certificate whose
    proof does not hold is refused. PDF and XLSX need the extra `report` (pip install 'turnout[report]').

    \b
    Example:
      turnout report certificate.json -o report.pdf -o tables.xlsx -o tables.zip
    """
    from counters.verify import verify
    from gateway.report import ReportError
    from gateway.report.files import render

    outputs = outputs or tuple(certificate.with_suffix(kind) for kind in KINDS[:2])
    if strange := [str(output) for output in outputs if output.suffix not in KINDS]:
        raise Failure(f"{', '.join(strange)}: a report is one of {', '.join(KINDS)}")
    proof = proof or certificate.with_suffix(".tlog-proof")
    if not proof.exists():
        raise Failure(f"{proof} is missing: a certificate comes with its proof; name it with --proof")
    raw, proven = certificate.read_bytes(), proof.read_bytes()
    for failed in verify(raw, proven).failed:
        raise Failure(f"no report is made of a certificate that does not hold: {failed.name}: {failed.detail}")
    try:
        for output in outputs:
            output.write_bytes(render(output.suffix, raw, proven, **options))  # type: ignore[arg-type] # click's
            say(str(output))
    except ReportError as error:
        raise Failure(str(error)) from None
