"""The files that an organiser hands over: a certificate as PDF, spreadsheets, and the list of attendees.

Everything here is a view of a certificate: it adds no number, rounds none away, and drops no definition. What counts is
the certificate itself; the PDF carries it as an attachment, so that whoever has the one has the other.

    tables      a certificate's numbers as tables, for people
    charts      the audience curve and bars, as SVG
    contents    what the pages say
    pdf         set by typst (report.typ)
    sheets      the tables as CSV and XLSX
    attendees   the list of attendees as Parquet, from roll and evidence
"""

from collections.abc import Iterator
from contextlib import contextmanager


class ReportError(Exception):
    """A file cannot be made; the text says what to do."""


@contextmanager
def needing(extra: str, brings: str) -> Iterator[None]:
    """Import what an extra of the package brings.

    Raises:
        ReportError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ReportError(f"{error.name} is not installed: pip install 'turnout[{extra}]' brings {brings}") from None
