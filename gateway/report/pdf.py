"""A certificate as a PDF that one hands over: PDF/A-3, tagged, with the certificate and its proof attached.

Set by typst from `report.typ`, which is layout and nothing else; what it says is gateway.report.contents'. The same
certificate gives the same bytes, on any machine: only typst's own fonts are used, and those that the caller names.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from counters.scratch import scratch_folder
from gateway.report import ReportError, charts, needing
from gateway.report.contents import charts_of, contents_of, verifier_beside

STANDARD: Final = "a-3a"
PICTURE_PPI: Final = 110.0


def render_pdf(certificate: bytes, proof: bytes, *, verifier_url: str = "", fonts: Sequence[Path] = ()) -> bytes:
    """Return the report of a certificate as PDF.

    Args:
        certificate: canonical JSON, of any version.
        proof: its tlog-proof; attached.
        verifier_url: the page that verifies certificates; "" = beside the log, as its origin says.
        fonts: folders with further fonts, for scripts that Libertinus Serif does not have.

    Raises:
        ReportError: typst or segno is not installed, or a text has characters that no font has.
    """
    return _render(certificate, proof, verifier_url, fonts)[0]


def render_pages(
    certificate: bytes, proof: bytes, *, verifier_url: str = "", fonts: Sequence[Path] = ()
) -> list[bytes]:
    """Return the pages of the same report as PNG pictures; arguments and errors are those of `render_pdf`."""
    return _render(certificate, proof, verifier_url, fonts, PICTURE_PPI)


def _render(
    certificate: bytes, proof: bytes, verifier_url: str, fonts: Sequence[Path], ppi: float | None = None
) -> list[bytes]:
    """Return the PDF, or with `ppi` (pixels an inch) a picture of each page."""
    with needing("report", "what sets PDFs"):
        import segno  # noqa: PLC0415 - an extra
        import typst  # noqa: PLC0415
    document: dict[str, Any] = json.loads(certificate)
    url = verifier_url or verifier_beside(document)
    with scratch_folder("turnout-report-") as here:
        said = contents_of(document) | {"verifier": url}
        (here / "contents.json").write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
        (here / "certificate.json").write_bytes(certificate)
        (here / "certificate.tlog-proof").write_bytes(proof)
        if url:
            segno.make(url, error="m", micro=False).save(str(here / "verifier.svg"), border=0, dark=charts.INK, scale=4)
        for name, svg in charts_of(document).items():
            (here / f"{name}.svg").write_text(svg, encoding="utf-8")
        (here / "report.typ").write_bytes(files("gateway.report").joinpath("report.typ").read_bytes())
        try:
            made = typst.compile(
                here / "report.typ", root=here, font_paths=list(fonts), ignore_system_fonts=True, ppi=ppi,
                format="pdf" if ppi is None else "png", pdf_standards=[STANDARD] if ppi is None else [],
                timestamp=int(datetime.fromisoformat(document["issued_at"]).timestamp()),
            )  # fmt: skip
        except typst.TypstError as error:
            raise ReportError(_in_words(error)) from None
    return [bytes(page) for page in (made if isinstance(made, list) else [made]) if page]


def _in_words(error: Any) -> str:
    if "could not be displayed" in error.message or "glyph" in error.message:
        return (
            f"{error.message}: a name in this certificate is in a script that the fonts do not have; name a folder "
            "with one that has it (--fonts)"
        )
    return f"typst could not set the report: {error.message}"
