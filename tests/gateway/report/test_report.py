"""The files that an organiser hands over: they say what the certificate says, all of it, and nothing else."""

import io
import json
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pypdf import PdfReader

from gateway.cli import main
from gateway.report import ReportError
from gateway.report.charts import curve_chart, round_steps
from gateway.report.pdf import render_pdf
from gateway.report.sheets import csv_files, render_csv, render_xlsx
from gateway.report.tables import WITHHELD, tables_of

VECTOR = Path(__file__).parents[2] / "vectors" / "v2" / "data.tar.gz"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its proof beside it, as it was issued by version 2."""
    folder = tmp_path_factory.mktemp("issued")
    with tarfile.open(VECTOR) as archive:
        (name,) = [name for name in archive.getnames() if re.fullmatch(r"turnout-data/certificates/\d+\.json", name)]
        for suffix in (".json", ".tlog-proof"):
            member = archive.extractfile(name.removesuffix(".json") + suffix)
            assert member is not None
            (folder / f"certificate{suffix}").write_bytes(member.read())
    return folder / "certificate.json"


@pytest.fixture(scope="module")
def document(issued: Path) -> dict[str, Any]:
    """The certificate, with what later versions print besides: all kinds of cells there are."""
    document: dict[str, Any] = json.loads(issued.read_bytes())
    rule, number = document["rules"][0], dict(document["numbers"][0])
    country = {"value": 40, "scope": {"country": "=1+1"}}
    document["numbers"] += [
        number | country,
        number | {"value": None, "scope": {"country": "FR"}, "suppressed": True},
        number | {"value": None, "scope": {"country": "DE"}, "bounds": [11, 17]},
        number | {"value": 12, "scope": {"country": "IT"}, "bounds": [12, None]},
        number | {"value": 31, "scope": {"country": "ES"}, "kind": "estimate", "interval95": [30, 32]},
    ]
    windows = [f"2023-11-19T09:{minute:02}:00+08:00" for minute in range(60)]
    return document | {
        "version": 3,
        "curve": {
            "windows": windows,
            "online": list(range(60)),
            "onsite": [None, *range(59)],
            "either": [None, *range(1, 60)],
        },
        "minutes": [
            {"scope": {}, "unit": "people", "median": 3, "mean": 3.5,
             "bands": [{"from": 1, "to": 1, "people": 40}, {"from": 2, "to": None, "people": None}]}
        ],
        "waterfall": {
            "statement": "Every step.",
            "rows": [{"step": "gross", "reason": "all joins", "people": 52, "views": 80}],
            "refused": [], "guests": {"devices": 0, "views": 0},
        },
        "comparability": {
            "statement": "All rules.",
            "rows": [{"rule": rule["id"], "value": 40, "unit": rule["unit"], "definition": rule["definition"]}],
            "confusions": [{"rules": [rule["id"], "views"], "sentence": "52 views are not 40 people."}],
        },
        "press": [{"rule": rule["id"], "scope": {}, "sentence": "40 people attended."}],
        "corrections": [], "audits": [], "roll": None, "apart": None,
    }  # fmt: skip


def pages(pdf: bytes) -> str:
    """The text of a PDF on one line."""
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())


def test_no_table_turns_what_is_withheld_or_an_interval_into_a_number(document: dict[str, Any]) -> None:
    (countries,) = [table for table in tables_of(document) if table.name == "country"]
    cells = {row[0]: row[1] for row in countries.rows}
    assert (cells["FR"], cells["DE"], cells["IT"]) == (WITHHELD, "11 to 17", 12)


def test_every_number_is_in_the_tables_and_every_row_has_its_columns(document: dict[str, Any]) -> None:
    tables = {table.name: table for table in tables_of(document)}
    assert len(tables["numbers"].rows) == len(document["numbers"])
    assert {"event", "session", "day", "country", "comparability", "minutes", "waterfall", "curve"} <= tables.keys()
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows), table.name
    assert tables["curve"].rows[0][1:] == (WITHHELD, 0, WITHHELD)


def test_people_of_several_namespaces_are_added_up_in_no_table_and_no_chart(document: dict[str, Any]) -> None:
    windows = document["curve"]["windows"][:2]
    several = document | {
        "curve": {"windows": windows} | {
            name: {"press": [3, None], "tickets": [20, 21]} for name in ("online", "onsite", "either")
        },
        "minutes": [
            {"scope": {"namespace": name}, "unit": "people", "median": 3, "mean": 3.5,
             "bands": [{"from": 1, "to": None, "people": people}]}
            for name, people in (("press", 3), ("tickets", 21))
        ],
        "waterfall": document["waterfall"] | {
            "rows": [{"step": "gross", "reason": None, "people": {"press": 3, "tickets": 21}, "views": 80}],
        },
        "apart": {"statement": "", "rows": [
            {"scope": {}, "outside": {"people": {"press": None, "tickets": 20}, "person_minutes": 700}}
        ]},
        "comparability": {"statement": "", "confusions": [], "rows": [
            {"rule": "unique-attendees", "value": None, "bounds": [21, 24], "unit": "people", "definition": "Once."}
        ]},
    }  # fmt: skip
    tables = {table.name: table for table in tables_of(several)}
    rows = {name: [tuple(row) for row in tables[name].rows] for name in tables}
    assert rows["curve"] == [(windows[0], *[3, 20] * 3), (windows[1], *[WITHHELD, 21] * 3)]
    assert [column.title for column in tables["curve"].columns][1:3] == ["People, press", "People, tickets"]
    assert rows["minutes"] == [("press", "1 or more", 3), ("tickets", "1 or more", 21)]
    assert rows["waterfall"] == [("gross", None, 3, 21, 80)]
    assert rows["apart"] == [("the event", "outside", WITHHELD, 20, 700)]
    assert rows["comparability"][0][:2] == ("unique-attendees", "21 to 24")
    assert curve_chart(several["curve"]).count("<path") == 6
    assert "24" not in " ".join(
        str(cell) for name in ("curve", "minutes", "waterfall") for row in rows[name] for cell in row
    )
    several["identity"] = document["identity"] | {
        "issuers": [
            row | {"namespace": name} for row in document["identity"]["issuers"] for name in ("press", "tickets")
        ]
    }
    assert "in the namespaces press, tickets" in pages(render_pdf(json.dumps(several).encode(), b"proof"))


def test_the_pdf_says_how_the_interval_of_heartbeats_was_changed(document: dict[str, Any]) -> None:
    steering = [
        {"at": "2023-11-19T09:05:07+08:00", "interval_s": 45, "revoked_seats": 0, "revoked_views": 0},
        {"at": "2023-11-19T09:06:00+08:00", "interval_s": 45, "revoked_seats": 1, "revoked_views": 0},
    ]
    changed = document | {"settings": document["settings"] | {"interval_s": 30, "steering": steering}}
    said = pages(render_pdf(json.dumps(changed).encode(), b"proof"))
    assert "asked for one every 30 s, every 45 s from 2023-11-19 09:05 on." in said


def test_what_keys_mean_that_were_added_later_is_in_the_pdf_and_in_the_sheets(document: dict[str, Any]) -> None:
    said = "AN ORGANISER WHO ADDS KEYS CAN VOUCH FOR ANYBODY."
    added = document | {"identity": document["identity"] | {"key_changes_statement": said}}
    for what, there in ((added, True), (document, False)):
        raw = json.dumps(what).encode()
        assert (said in pages(render_pdf(raw, b"proof"))) is there
        with zipfile.ZipFile(io.BytesIO(render_xlsx(raw))) as book:
            assert (said.encode() in book.read("xl/sharedStrings.xml")) is there


def test_a_text_that_begins_like_a_formula_is_a_text(document: dict[str, Any]) -> None:
    raw = json.dumps(document).encode()
    files = dict(csv_files(raw))
    assert b"\r\n'=1+1,40" in files["country.csv"]
    wide = json.dumps(document).replace('"=1+1"', '"\uff1d1+1"').encode()
    assert "\r\n'\uff1d1+1,40".encode() in dict(csv_files(wide))["country.csv"]
    with zipfile.ZipFile(io.BytesIO(render_xlsx(raw))) as book:
        sheets = [book.read(name) for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
        assert b"=1+1" in book.read("xl/sharedStrings.xml")
    assert len(sheets) == len(tables_of(document)) + 1
    assert not any(b"<f>" in sheet for sheet in sheets)


def test_the_same_certificate_gives_the_same_bytes(document: dict[str, Any]) -> None:
    raw = json.dumps(document).encode()
    assert render_pdf(raw, b"proof") == render_pdf(raw, b"proof")
    assert render_csv(raw) == render_csv(raw)
    assert render_xlsx(raw) == render_xlsx(raw)


def test_the_pdf_says_what_the_certificate_says_and_carries_it(document: dict[str, Any]) -> None:
    raw = json.dumps(document).encode()
    pdf = render_pdf(raw, b"proof", verifier_url="https://verify.example/page")
    text = pages(pdf)
    for said in (
        document["event"]["name"], document["log"]["vkey"], document["event_sha256"], "SIMULATED",
        document["rules"][0]["definition"][:40], "52 views are not 40 people.", "40 people attended.", "withheld",
        "11 to 17", "https://verify.example/page",
    ):  # fmt: skip
        assert said in text, said
    reader = PdfReader(io.BytesIO(pdf))
    assert {name: files[0] for name, files in reader.attachments.items()} == {
        "certificate.json": raw,
        "certificate.tlog-proof": b"proof",
    }
    assert b'pdfaid:part="3"' in pdf or b"<pdfaid:part>3</pdfaid:part>" in pdf


def test_a_name_that_no_font_has_is_an_error_that_says_what_to_do_and_never_a_box(document: dict[str, Any]) -> None:
    raw = json.dumps(document | {"event": document["event"] | {"name": "世界物联网博览会"}}).encode()
    with pytest.raises(ReportError, match="--fonts"):
        render_pdf(raw, b"proof")


@pytest.mark.parametrize(
    ("most", "ticks"),
    [(0, [0, 1]), (1, [0, 1]), (7, [0, 2, 4, 6, 8]), (2_999, [0, 1000, 2000, 3000]), (40, [0, 10, 20, 30, 40])],
)
def test_a_scale_has_round_steps_and_room_for_all(most: int, ticks: list[int]) -> None:
    assert round_steps(most) == ticks


def test_the_curve_has_a_day_beside_the_other(document: dict[str, Any]) -> None:
    curve = document["curve"]
    days = {name: curve[name] * 2 for name in ("online", "onsite")}
    windows = curve["windows"] + [window.replace("-19T", "-20T") for window in curve["windows"]]
    drawn = curve_chart({"windows": windows, **days})
    assert re.findall(r"2023-11-\d\d", drawn) == ["2023-11-19", "2023-11-20"]
    assert drawn.count("<path") == 2 * 3, "an area and its line online, a line on site, for each day"


def test_the_command_writes_what_is_asked_for(issued: Path, tmp_path: Path) -> None:
    asked = [part for kind in ("pdf", "zip", "png") for part in ("-o", str(tmp_path / f"r.{kind}"))]
    done = CliRunner().invoke(main, ["report", str(issued), *asked])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF-")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    assert zipfile.ZipFile(tmp_path / "r.zip").testzip() is None
    default = CliRunner().invoke(main, ["report", str(issued)])
    assert default.exit_code == 0, default.output
    assert issued.with_suffix(".pdf").exists()
    assert issued.with_suffix(".xlsx").exists()


def test_no_report_is_made_of_a_certificate_that_does_not_hold(issued: Path, tmp_path: Path) -> None:
    changed = tmp_path / "certificate.json"
    changed.write_bytes(issued.read_bytes().replace(b'"value":', b'"value":1', 1))
    changed.with_suffix(".tlog-proof").write_bytes(issued.with_suffix(".tlog-proof").read_bytes())
    done = CliRunner().invoke(main, ["report", str(changed)])
    assert (done.exit_code, "does not hold" in done.output) == (2, True), done.output
    assert not changed.with_suffix(".pdf").exists()
    assert "one of .pdf" in CliRunner().invoke(main, ["report", str(issued), "-o", "report.docx"]).output
    missing = CliRunner().invoke(main, ["report", str(VECTOR.parent / "data.tar.gz")])
    assert (missing.exit_code, "--proof" in missing.output) == (2, True), missing.output
