"""A certificate's tables as spreadsheets: one XLSX with a sheet a table, or a ZIP of CSV files.

What people typed into tickets (countries, outlets, titles) may begin like a formula, and a spreadsheet program would
run it. XLSX has texts as texts; in CSV such a text gets an apostrophe in front, as these programs show it.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from gateway.report import needing
from gateway.report.tables import Cell, Table, tables_of

FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Those of full width too, which spreadsheet programs of East Asian languages take for the others (OWASP)."""
SHEET_NAME_CHARS: Final = 31
"""Excel's limit."""
WIDEST: Final = 60
_ZIP_BEGINS: Final = (1980, 1, 1, 0, 0, 0)


def csv_files(certificate: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, CSV with a heading and CRLF, UTF-8) for each table of a certificate."""
    for table in tables_of(json.loads(certificate)):
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([_heading(table, at) for at in range(len(table.columns))])
        writer.writerows([_harmless(cell) for cell in row] for row in table.rows)
        yield f"{table.name}.csv", text.getvalue().encode()


def render_csv(certificate: bytes) -> bytes:
    """Return a ZIP of `csv_files`; the same certificate gives the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in csv_files(certificate):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_BEGINS), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def render_xlsx(certificate: bytes) -> bytes:
    """Return a workbook with a sheet for each table, and a first one that says what it is a view of.

    Raises:
        ReportError: xlsxwriter is not installed.
    """
    with needing("report", "what writes spreadsheets"):
        import xlsxwriter  # noqa: PLC0415 - an extra
    document: dict[str, Any] = json.loads(certificate)
    written = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(written, options) as book:
        created = datetime.fromisoformat(document["issued_at"]).replace(tzinfo=None)
        book.set_properties({"title": document["event"]["name"], "created": created})
        bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        about = book.add_worksheet("about")
        about.set_column(0, 0, 22)
        about.set_column(1, 1, 90, wrapped)
        for at, (name, value) in enumerate(_about(document)):
            about.write_string(at, 0, name, bold)
            about.write_string(at, 1, value)
        for table in tables_of(document):
            _write(book.add_worksheet(table.name[:SHEET_NAME_CHARS]), table, bold)
    return written.getvalue()


def _write(sheet: Any, table: Table, bold: Any) -> None:
    sheet.freeze_panes(1, 1)
    for at in range(len(table.columns)):
        heading = _heading(table, at)
        longest = max([len(heading) // 2, *(len(str(row[at])) for row in table.rows)])
        sheet.set_column(at, at, min(longest + 2, WIDEST))
        sheet.write_string(0, at, heading, bold)
    for number, row in enumerate(table.rows, start=1):
        for at, cell in enumerate(row):
            if isinstance(cell, int | float):
                sheet.write_number(number, at, cell)
            elif cell:
                sheet.write_string(number, at, cell)
    sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)


def _about(document: dict[str, Any]) -> list[tuple[str, str]]:
    log = document["log"]
    said = [
        ("Event", document["event"]["name"]),
        ("Notice", document["notice"] or ""),
        ("Organiser", document["event"]["organiser"]),
        ("Issued", f"{document['issued_at']} by {document['software']}"),
        ("What this is", "A view of a certificate. What counts is certificate.json with its proof: turnout verify."),
        ("Log", f"{log['origin']}, {log['size']} entries, root {log['root']}"),
        ("Key of the log", log["vkey"]),
        ("Keys of issuers", document["identity"].get("key_changes_statement", "")),
        ("Withheld", document["suppression"]["statement"]),
    ]
    rules = [(rule["id"], f"{rule['unit']}: {rule['definition']}") for rule in document["rules"]]
    return [row for row in said if row[1]] + rules


def _heading(table: Table, at: int) -> str:
    column = table.columns[at]
    return f"{column.title} ({column.unit})" if column.unit else column.title


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_BEGINS) else cell
