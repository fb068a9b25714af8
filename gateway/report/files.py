"""A certificate's files by their suffix, and those of a ledger's certificates made once and kept for a while."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from gateway.report.pdf import render_pages, render_pdf
from gateway.report.sheets import render_csv, render_xlsx

TYPES: Final = {
    ".pdf": "application/pdf",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".zip": "application/zip",
    ".png": "image/png",
}
"""Media types by suffix; `.zip` holds CSV files, `.png` is the title page of the PDF."""
KEPT: Final = 16
"""Files in memory: making one takes half a second of a core, and anybody may ask for it."""


def render(
    suffix: str, certificate: bytes, proof: bytes, *, verifier_url: str = "", fonts: Sequence[Path] = ()
) -> bytes:
    """Return a certificate as one of `TYPES`.

    Raises:
        ReportError: it cannot be made here.
    """
    by_suffix: dict[str, Callable[[], bytes]] = {
        ".pdf": lambda: render_pdf(certificate, proof, verifier_url=verifier_url, fonts=fonts),
        ".png": lambda: render_pages(certificate, proof, verifier_url=verifier_url, fonts=fonts)[0],
        ".xlsx": lambda: render_xlsx(certificate),
        ".zip": lambda: render_csv(certificate),
    }
    return by_suffix[suffix]()


@lru_cache(KEPT)
def render_issued(suffix: str, certificate: Path) -> bytes:
    """Return an issued certificate, which never changes, as one of `TYPES`.

    Raises:
        ReportError: it cannot be made here.
        OSError: the certificate cannot be read.
    """
    return render(suffix, certificate.read_bytes(), certificate.with_suffix(".tlog-proof").read_bytes())
