"""The event file: the page that documents it is true, and every known mistake is named with its key and its fix."""

import importlib.util
import json
import re
import zoneinfo
from pathlib import Path

import pytest

from counters.event import Event, load_event
from counters.event_keys import REQUIRED, TABLES
from counters.rule_ids import KNOWN_RULES
from tests.counters.event_files import GOOD, problems, write

PAGE = Path(__file__).parents[2] / "docs" / "event-file.md"


def test_a_good_file_becomes_an_event(tmp_path: Path) -> None:
    event = load_event(write(tmp_path))
    assert (event.id, event.interval_s, event.window_s, event.organiser) == ("expo", 30, 60, "")
    assert [session.id for session in event.sessions] == ["opening", "closing"]
    assert event.issuers[0].algorithms == ("ES256", "Ed25519")
    assert event.issuers[0].subject_claim == "sub"
    assert [key["kid"] for key in event.issuers[0].keys] == ["ec", "ed"]
    assert event.counting.rules == ("views", "hours-viewed")
    assert event.counting.suppress_below == 10
    assert event.simulated
    assert event.simulation is not None
    assert event.simulation.speed == 0.0


def test_without_counting_every_rule_is_printed(tmp_path: Path) -> None:
    text = re.sub(r"\[counting\].*?\n\n", "", GOOD, flags=re.DOTALL)
    assert load_event(write(tmp_path, text)).counting.rules == KNOWN_RULES


# (what the file has, what it is changed to) -> fragments of the one problem that must be found
MISTAKES: dict[str, tuple[str, str, list[str]]] = {
    "an id with capitals": ('id = "expo"', 'id = "Expo"', ["event.id (names the event", "'Expo' is not an id", "a-z"]),
    "an id that ends with a hyphen": ('id = "expo"', 'id = "expo-"', ["event.id", "is not an id"]),
    "a name that is no text": ('name = "Expo"', "name = 7", ["event.name", "7 is not text", "quotes"]),
    "a blank name": ('name = "Expo"', 'name = " "', ["event.name", "it is empty"]),
    "a long name": ('name = "Expo"', f'name = "{"x" * 201}"', ["event.name", "201 characters", "at most 200"]),
    "a name with a line break": ('name = "Expo"', r'name = "a\nb"', ["event.name", "control characters"]),
    "a name that turns text round": ('name = "Expo"', r'name = "\u202eopx"', ["event.name", "control characters"]),
    "a name of two paragraphs": ('name = "Expo"', r'name = "Ex\u2029po"', ["event.name", "control characters"]),
    "no name": ('name = "Expo"\n', "", ["event.name", "it is missing", "Add name to event"]),
    "a mistyped key": ('name = "Expo"', 'name = "Expo"\norganizer = "x"', ["organizer", "Did you mean organiser?"]),
    "a mistyped table": ("[counting]", "[countin]", ["countin:", "Did you mean counting?"]),
    "an unknown zone": ("Europe/Paris", "Europe/Pariss", ["event.time_zone", "Did you mean Europe/Paris?"]),
    "a zone that is a folder": ("Europe/Paris", "America/Argentina", ["event.time_zone", "is no time zone"]),
    "a zone outside the database": ("Europe/Paris", "../../etc/localtime", ["event.time_zone", "is no time zone"]),
    "the zone of the machine": ("Europe/Paris", "localtime", ["event.time_zone", "is no time zone"]),
    "a zone with leap seconds": ("Europe/Paris", "right/Europe/Paris", ["event.time_zone", "is no time zone"]),
    "a time in quotes": (
        "late_until = 2026-05-04T00:00:00+02:00",
        'late_until = "2026-05-04T00:00:00+02:00"',
        ["event.late_until", "in quotes", "without quotes"],
    ),
    "a time without offset": ("2026-05-04T00:00:00+02:00", "2026-05-04T00:00:00", ["late_until", "no UTC offset"]),
    "a date without time": ("2026-05-04T00:00:00+02:00", "2026-05-04", ["event.late_until", "not a date with a time"]),
    "fractions of a second": ("2026-05-04T00:00:00+02:00", "2026-05-04T00:00:00.5+02:00", ["fractions of a second"]),
    "another century": ("2026-05-04T00:00:00+02:00", "2206-05-04T00:00:00+02:00", ["event.late_until", "century"]),
    "late_until too early": (
        "late_until = 2026-05-04",
        "late_until = 2026-05-02",
        ["event.late_until (until when late evidence still counts)", "is not after the last session's end"],
    ),
    "an end before its start": (
        "ends_at = 2026-05-02T18",
        "ends_at = 2026-05-02T16",
        ["session[2].ends_at (when the session ends", "is not after starts_at 2026-05-02T17:00:00+02:00"],
    ),
    "a number used twice": ("number = 2", "number = 1", ["session[2].number", "1 is already that of session[1]"]),
    "a session id used twice": ('id = "closing"', 'id = "opening"', ["session[2].id", "already that of session[1]"]),
    "session number 0": ("number = 2", "number = 0", ["session[2].number", "0 is out of range", "Use 1 to 65535"]),
    "session number too large": ("number = 2", "number = 65536", ["session[2].number", "out of range"]),
    "a number that is a flag": ("number = 2", "number = true", ["session[2].number", "not a whole number"]),
    "a number in quotes": ("number = 2", 'number = "2"', ["session[2].number", "'2' is not a whole number"]),
    "interval too short": ('name = "Expo"', 'name = "Expo"\ninterval_s = 4', ["event.interval_s", "Use 5 to 54"]),
    "interval too long": ('name = "Expo"', 'name = "Expo"\ninterval_s = 55', ["event.interval_s", "Use 5 to 54"]),
    "another window": ('name = "Expo"', 'name = "Expo"\nwindow_s = 30', ["event.window_s", "30 is not 60"]),
    "a gate twice": ('"hall-a", "hall-b"', '"hall-a", "hall-a"', ["session[2].gates", "'hall-a' stands twice"]),
    "a gate that is no list": ('gates = ["hall-a", "hall-b"]', 'gates = "hall-a"', ["session[2].gates", "not a list"]),
    "one gate, two sessions": (
        "starts_at = 2026-05-02T17",
        "starts_at = 2026-05-01T09",
        ["session[2].gates", "gate 'hall-a' is open for session[1] at the same time", "its own gate"],
    ),
    "alg none": ('"ES256", "EdDSA"', '"ES256", "EdDSA", "none"', ["issuer[1].algorithms", "'none' is no signature"]),
    "a symmetric alg": ('"ES256", "EdDSA"', '"ES256", "EdDSA", "HS256"', ["issuer[1].algorithms", "is symmetric"]),
    "a mistyped alg": ('"ES256", "EdDSA"', '"ES256", "EdDSA", "RS265"', ["algorithms", "Did you mean RS256?"]),
    "the same alg by two names": ('"ES256", "EdDSA"', '"ES256", "EdDSA", "Ed25519"', ["stands twice"]),
    "no alg": ('["ES256", "EdDSA"]', "[]", ["issuer[1].algorithms", "it has 0 entries"]),
    "an attribute to nowhere": ('country = "country"', 'country = "land"', ["issuer[1].attributes", "no attribute"]),
    "an attribute from two claims": (
        'country = "country"',
        'country = "country", land = "country"',
        ["issuer[1].attributes", "taken from two claims"],
    ),
    "attributes as text": ('{ country = "country" }', '"country"', ["issuer[1].attributes", "not a table"]),
    "a flag in quotes": ("development = true", 'development = "true"', ["issuer[1].development", "true or false"]),
    "a real issuer under a simulated clock": (
        "development = true",
        "development = false",
        ["simulation", "tickets is not a development issuer", "Remove [simulation]"],
    ),
    "jwks_url": (
        'jwks = "jwks.json"',
        'jwks_url = "https://tickets.example/jwks"',
        ["issuer[1].jwks_url", "Save it to a file and name it in jwks"],
    ),
    "jwks that is a folder": ('jwks = "jwks.json"', 'jwks = "."', ["issuer[1].jwks", ". cannot be read"]),
    "jwks that cannot be a name": ('jwks = "jwks.json"', f'jwks = "{"j" * 300}"', ["issuer[1].jwks", "cannot be read"]),
    "a mistyped rule": ('"views"', '"veiws"', ["counting.rules", "Did you mean views?", "Known: unique-attendees"]),
    "a rule that is no text": ('"views"', "1", ["counting.rules", "1 is no counting rule"]),
    "a category twice": ('["staff"]', '["staff", "staff"]', ["counting.exclude_categories", "stands twice"]),
    "suppress_below 0": ('["staff"]', '["staff"]\nsuppress_below = 0', ["counting.suppress_below", "Use 1 to 1000"]),
    "a clock that runs backwards": ("[simulation]", "[simulation]\nspeed = -1", ["simulation.speed", "out of range"]),
    "a clock that is no number": ("[simulation]", "[simulation]\nspeed = nan", ["simulation.speed", "not a number"]),
    "a clock that starts after the event": (
        "starts_at = 2026-05-01T08",
        "starts_at = 2026-05-09T08",
        ["simulation.starts_at", "is not before the last session's end"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "fragments"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_key_and_its_fix(
    tmp_path: Path, before: str, after: str, fragments: list[str]
) -> None:
    assert GOOD.count(before) == 1
    (found,) = problems(write(tmp_path, GOOD.replace(before, after)))
    assert [fragment for fragment in fragments if fragment not in found] == [], found


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('id = "expo"', 'id = "EXPO"').replace("number = 2", "number = 1").replace('"views"', '"veiws"')
    found = problems(write(tmp_path, text, keys=[{"kty": "oct", "k": "AAAA"}]))
    assert [line.split(" ", 1)[0] for line in found] == [
        "event.id", "counting.rules", "issuer[1].jwks", "session[2].number",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["event: the table is missing", "session: there is none", "issuer: there is none"]),
        ("event = 1\nsession = 2\nissuer = []", ["event: it is not a table", "session: it is not an array"]),
        (GOOD.split("[[session]]", maxsplit=1)[0] + '[session]\nid = "a"', ["session: it is a single", "[[session]]"]),
        ("session = [1, 2]", ["session[1]: it is not a table", "session[2]: it is not a table"]),
    ],
)  # fmt: skip
def test_tables_of_the_wrong_shape_are_named(tmp_path: Path, text: str, fragments: list[str]) -> None:
    found = "\n".join(problems(write(tmp_path, text)))
    assert [fragment for fragment in fragments if fragment not in found] == [], found


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b"[event", "it is not TOML"),
        (b"\xff\xfe", "it is not TOML"),
        (b"a = " + b"[" * 50_000, "it is not TOML"),
        (b"a = " + b"9" * 5_000, "it is not TOML"),
        (b"#" * (1024 * 1024 + 1), "it has 1048577 bytes"),
    ],
    ids=["torn", "binary", "deeply nested", "an endless number", "too large"],
)
def test_what_is_no_toml_is_one_clear_problem(tmp_path: Path, raw: bytes, wrong: str) -> None:
    path = tmp_path / "expo.toml"
    path.write_bytes(raw)
    (found,) = problems(path)
    assert wrong in found


def test_a_file_that_is_not_there_is_one_clear_problem(tmp_path: Path) -> None:
    (found,) = problems(tmp_path / "absent.toml")
    assert "No such file" in found
    (found,) = problems(tmp_path)
    assert "Is a directory" in found


def sessions(count: int) -> str:
    table = GOOD[GOOD.index("[[session]]") : GOOD.index("[[session]]", GOOD.index("[[session]]") + 1)]
    return "".join(
        table.replace("number = 1", f"number = {n}").replace('"opening"', f'"s{n}"').replace("hall-a", f"g{n}")
        for n in range(1, count + 1)
    )


def test_an_event_too_large_for_one_log_entry_is_refused(tmp_path: Path) -> None:
    head, tail = GOOD[: GOOD.index("[[session]]")], GOOD[GOOD.index("[[issuer]]") :]
    load_event(write(tmp_path, head + sessions(300) + tail))
    (found,) = problems(write(tmp_path, head + sessions(600) + tail))
    assert "its canonical form has" in found
    assert "more than 60000" in found
    (found,) = problems(write(tmp_path, head + sessions(1001) + tail))
    assert "session: there are 1001" in found


@pytest.mark.skipif(importlib.util.find_spec("tzdata") is not None, reason="the tzdata package is installed")
def test_a_machine_without_time_zones_is_told_what_to_install(tmp_path: Path) -> None:
    path, tzpath = write(tmp_path), zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        (found,) = problems(path)
    finally:
        zoneinfo.reset_tzpath(to=tzpath)
    assert "this machine has no time zone data. Install the tzdata package." in found


def test_a_file_that_cannot_be_opened_is_one_clear_problem(tmp_path: Path) -> None:
    path = tmp_path / "event.toml"
    path.symlink_to(path)  # not even root can follow it
    (found,) = problems(path)
    assert "Too many levels of symbolic links" in found


def test_the_example_of_the_page_is_a_good_event_file(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    event = load_event(write(tmp_path, example))
    assert event.id == "wiotc2023"
    assert Event.from_canonical(event.canonical()) == event
    path = write(tmp_path, example.replace('namespace = "tickets"', 'namespace = "tickets"\ndevelopment = true'))
    assert load_event(path).issuers[0].development


def page_rows() -> dict[str, dict[str, tuple[str, str]]]:
    """The page's tables: table -> key -> (default, meaning)."""
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        if table := re.match(r"`\[+(\w+)\]+`", section):
            cells = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
            rows[table[1]] = {key: (default.strip("`"), meaning) for key, default, meaning in cells}
    return rows


def test_the_page_has_every_key_with_its_default_and_meaning() -> None:
    rows = page_rows()
    assert {table: list(keys) for table, keys in rows.items()} == {
        table: [key.name for key in keys] for table, keys in TABLES.items()
    }
    for table, keys in TABLES.items():
        for key in keys:
            default, meaning = rows[table][key.name]
            assert re.sub(r"\W+", " ", key.meaning).split()[:4] == re.sub(r"\W+", " ", meaning).split()[:4], key.name
            if key.default is REQUIRED:
                assert default == "required", key.name
            elif key.name == "rules":
                assert (default, key.default) == ("all", KNOWN_RULES)
            else:
                wanted = list(key.default) if isinstance(key.default, tuple) else key.default
                assert json.loads(default) == wanted, key.name


def test_the_page_names_every_rule() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [rule for rule in KNOWN_RULES if f"`{rule}`" not in text] == []
