"""The event file: the page that documents it is true, and every known mistake is named with its key and its fix."""

import importlib.util
import json
import re
import zoneinfo
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from counters.event import Event, EventFileError, MissingDevelopmentKeys, OwnRule, load_event
from counters.event_keys import REQUIRED, TABLES
from counters.event_rules import rules_of
from counters.ledger.cosignature import witness_key
from counters.ledger.note import Signer
from counters.rule_ids import KNOWN_RULES

PAGE = Path(__file__).parents[2] / "docs" / "event-file.md"
EC = ECKey.generate_key("P-256", parameters={"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})

GOOD = """
[event]
id = "expo"
name = "Expo"
time_zone = "Europe/Paris"
late_until = 2026-05-04T00:00:00+02:00

[[session]]
number = 1
id = "opening"
title = "Opening"
starts_at = 2026-05-01T09:00:00+02:00
ends_at = 2026-05-01T10:00:00+02:00
gates = ["hall-a"]

[[session]]
number = 2
id = "closing"
title = "Closing"
starts_at = 2026-05-02T17:00:00+02:00
ends_at = 2026-05-02T18:00:00+02:00
gates = ["hall-a", "hall-b"]

[[issuer]]
id = "tickets"
issuer = "https://tickets.example"
audience = "expo"
jwks = "jwks.json"
namespace = "tickets"
operated_by = "Ticket Shop"
algorithms = ["ES256", "EdDSA"]
attributes = { country = "country" }
development = true

[counting]
rules = ["views", "hours-viewed"]
exclude_categories = ["staff"]

[simulation]
starts_at = 2026-05-01T08:00:00+02:00
"""


def write(folder: Path, text: str = GOOD, keys: list[Any] | None = None) -> Path:
    public = [EC.as_dict(private=False), ED.as_dict(private=False)] if keys is None else keys
    (folder / "jwks.json").write_text(json.dumps({"keys": public}))
    path = folder / "expo.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(EventFileError) as found:
        load_event(path)
    lines = [str(problem) for problem in found.value.problems]
    assert str(found.value) == "\n  ".join([str(found.value).splitlines()[0], *lines])
    return lines


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


def test_two_issuers_cannot_have_the_same_name(tmp_path: Path) -> None:
    issuer = GOOD[GOOD.index("[[issuer]]") : GOOD.index("[counting]")]
    found = problems(write(tmp_path, GOOD.replace(issuer, issuer + issuer)))
    assert [line.split(" ", 1)[0] for line in found] == ["issuer[2].id", "issuer[2].issuer"]


def test_one_bad_key_is_named_by_its_number_and_hides_no_other(tmp_path: Path) -> None:
    good = EC.as_dict(private=False)
    keys = [good, {**good, "kid": "b", "y": "AAAA"}, ED.as_dict(private=True), {"kty": "oct", "k": "AA"}, good]
    found = problems(write(tmp_path, keys=keys))
    assert [re.search(r"key \d", line)[0] for line in found] == ["key 2", "key 3", "key 4", "key 5"]  # type: ignore[index]
    assert "private key" in found[1]
    assert "symmetric" in found[2]
    assert "stands twice" in found[3]


def test_two_keys_cannot_share_a_kid(tmp_path: Path) -> None:
    (found,) = problems(write(tmp_path, keys=[EC.as_dict(private=False), {**ED.as_dict(private=False), "kid": "ec"}]))
    assert "key 2: its kid ec stands twice" in found


def test_a_key_must_be_for_an_algorithm_of_its_issuer(tmp_path: Path) -> None:
    (found,) = problems(write(tmp_path, keys=[RSAKey.generate_key(2048).as_dict(private=False)]))
    assert "key 1: it is a key for RS256, which the issuer's algorithms do not list" in found


def test_encryption_keys_of_a_provider_are_passed_over(tmp_path: Path) -> None:
    encryption = {**RSAKey.generate_key(2048).as_dict(private=False), "use": "enc", "alg": "RSA-OAEP"}
    event = load_event(write(tmp_path, keys=[encryption, EC.as_dict(private=False)]))
    assert [key["kid"] for key in event.issuers[0].keys] == ["ec"]
    (found,) = problems(write(tmp_path, keys=[encryption]))
    assert "there is no key for signatures" in found


def test_an_empty_key_set_is_named_beside_other_problems(tmp_path: Path) -> None:
    found = problems(write(tmp_path, GOOD.replace('"views"', '"veiws"'), keys=[]))
    assert [line.split(" ", 1)[0] for line in found] == ["counting.rules", "issuer[1].jwks"]


def test_an_unreadable_key_set_is_one_problem(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "jwks.json").write_text("{")
    (found,) = problems(path)
    assert "issuer[1].jwks" in found
    assert "it is not JSON" in found


def test_missing_development_keys_are_a_problem_that_up_can_mend(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(MissingDevelopmentKeys, match="`turnout up` creates it") as missing:
        load_event(path)
    (keys,) = missing.value.missing
    assert (keys.issuer_id, keys.jwks, keys.algorithms) == ("tickets", tmp_path / "jwks.json", ("ES256", "Ed25519"))


def test_missing_keys_beside_other_problems_are_mended_by_nobody(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('"views"', '"veiws"'))
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(EventFileError) as found:
        load_event(path)
    assert not isinstance(found.value, MissingDevelopmentKeys)
    assert len(found.value.problems) == 2


def test_missing_keys_of_a_real_issuer_are_asked_for(tmp_path: Path) -> None:
    text = GOOD.replace("development = true", "")[: GOOD.index("[simulation]") - len("development = true")]
    path = write(tmp_path, text)
    (tmp_path / "jwks.json").unlink()
    (found,) = problems(path)
    assert "there is no file jwks.json" in found
    assert "Save the issuer's public keys" in found


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


WITNESSES = """
[[witness]]
name = "news"
vkey = "{news}"
operated_by = "The Newspaper"
url = "https://witness.news.example/"

[[witness]]
name = "town"
vkey = "{town}"
operated_by = "The Town"
url = "http://127.0.0.1:8082/w"

[log]
required_witnesses = {required}
"""
NEWS, TOWN = (Signer(f"witness.example/{number}", bytes([number] * 32)) for number in (1, 2))


def witnessed(required: int = 2, news: str = witness_key(NEWS).encode(), town: str = witness_key(TOWN).encode()) -> str:
    return GOOD + WITNESSES.format(required=required, news=news, town=town)


def test_witnesses_and_how_many_must_cosign_are_locked_and_where_they_are_is_not(tmp_path: Path) -> None:
    event = load_event(write(tmp_path, witnessed()))
    assert [(each.name, each.operated_by, each.url) for each in event.witnesses] == [
        ("news", "The Newspaper", "https://witness.news.example"), ("town", "The Town", "http://127.0.0.1:8082/w")
    ]  # fmt: skip
    assert event.required_witnesses == 2
    canonical = json.loads(event.canonical())
    assert canonical["log"] == {"required_witnesses": 2}
    assert canonical["witnesses"][0] == {
        "name": "news",
        "vkey": witness_key(NEWS).encode(),
        "operated_by": "The Newspaper",
    }
    assert Event.from_canonical(event.canonical()) == event
    moved = load_event(write(tmp_path, witnessed().replace("127.0.0.1:8082", "witness.town.example")))
    assert moved.digest == event.digest
    assert load_event(write(tmp_path, witnessed(required=1))).digest != event.digest


def test_an_event_without_witnesses_has_the_canonical_form_that_it_always_had(tmp_path: Path) -> None:
    event = load_event(write(tmp_path, GOOD))
    assert not json.loads(event.canonical()).keys() & {"witnesses", "log"}
    assert load_event(write(tmp_path, GOOD + "\n[log]\nrequired_witnesses = 0\n")).canonical() == event.canonical()


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        (witnessed(required=3), "log.required_witnesses", "it demands 3 of 2"),
        (GOOD + "[log]\nrequired_witnesses = 1\n", "log.required_witnesses", "it demands 1 of 0"),
        (witnessed(town=witness_key(NEWS).encode()), "witness[2].vkey", "already that of witness[1]"),
        (
            witnessed(town=witness_key(Signer("witness.example/other", NEWS.seed)).encode()),
            "witness[2].vkey",
            "already that of witness[1]",
        ),
        (witnessed(town=NEWS.verifier.encode()), "witness[2].vkey", "type 4"),
        (witnessed(town="junk"), "witness[2].vkey", "name+keyid+base64"),
        (witnessed().replace('"town"', '"news"'), "witness[2].name", "already that of witness[1]"),
        (witnessed().replace("http://127", "ftp://127"), "witness[2].url", "is no address"),
        (witnessed().replace("required_witnesses", "required_witneses"), "log.required_witneses", "no such key"),
    ],
)
def test_a_mistake_about_witnesses_is_named(tmp_path: Path, text: str, key: str, what: str) -> None:
    with pytest.raises(EventFileError) as refused:
        load_event(write(tmp_path, text))
    assert [problem.key for problem in refused.value.problems] == [key]
    assert what in str(refused.value)


def retaining(until: str) -> str:
    audit = '\n[audit]\nbeacon = "drand-quicknet"\nround = 28400000\n'  # on 5 May 2026, after late_until
    return GOOD + audit + (f"retain_tokens_until = {until}\n" if until else "")


def test_until_when_tokens_are_kept_is_locked_and_without_a_date_there_is_no_such_member(tmp_path: Path) -> None:
    event = load_event(write(tmp_path, retaining("2026-08-01T00:00:00+02:00")))
    assert event.tokens_until is not None
    assert json.loads(event.canonical())["audit"]["retain_tokens_until"] == "2026-08-01T00:00:00+02:00"
    assert Event.from_canonical(event.canonical()) == event
    without = load_event(write(tmp_path, retaining("")))
    assert without.tokens_until is None
    assert "retain_tokens_until" not in json.loads(without.canonical())["audit"]
    assert load_event(write(tmp_path, GOOD)).tokens_until is None


def test_tokens_are_kept_beyond_the_round_that_decides_which_are_opened(tmp_path: Path) -> None:
    with pytest.raises(EventFileError) as error:
        load_event(write(tmp_path, retaining("2026-05-05T00:00:00+02:00")))
    (problem,) = error.value.problems
    assert problem.key == "audit.retain_tokens_until"
    assert "is not after the beacon's round" in problem.wrong


PLAIN = GOOD[: GOOD.index("[counting]")]
OWN_RULE = """
[[rule]]
id = "one-hour"
windows = 60
in_schedule = true
category = ["delegate", "press"]
"""


def test_an_own_rule_is_locked_with_the_event_and_absent_from_events_without_one(tmp_path: Path) -> None:
    plain = load_event(write(tmp_path, PLAIN))
    assert b"own_rules" not in plain.canonical()
    event = load_event(write(tmp_path, PLAIN + OWN_RULE))
    assert event.own_rules == (OwnRule("one-hour", windows=60, in_schedule=True, category=("delegate", "press")),)
    assert Event.from_canonical(event.canonical()) == event
    (rule,) = [rule for rule in rules_of(event) if rule.parameters]
    assert rule.definition == (
        "Attendees of the categories delegate, press present online or on site in at least 60 scheduled windows "
        "(clock minutes) of one session, each counted once."
    )
    percent = load_event(write(tmp_path, PLAIN + '[[rule]]\nid = "half"\npercent = 50\nchannel = "online"\n'))
    assert percent.own_rules == (OwnRule("half", percent=50, in_schedule=True, channel="online"),)
    assert Event.from_canonical(percent.canonical()) == percent
    assert rules_of(percent)[-1].definition == (
        "Attendees present online in at least 50 % of one session's scheduled windows (clock minutes), each counted "
        "once."
    )


@pytest.mark.parametrize(
    ("lines", "key", "wrong"),
    [
        ('id = "a"', "rule[1].percent", "neither"),
        ('id = "a"\nwindows = 3\npercent = 50', "rule[1].percent", "both"),
        ('id = "a"\npercent = 50\nin_schedule = false', "rule[1].in_schedule", "of what is scheduled"),
        ('id = "reach-3min"\nwindows = 3', "rule[1].id", "exists"),
        ('id = "attended-55-percent"\nwindows = 3', "rule[1].id", "exists"),
        ('id = "live-a"\nwindows = 3', "rule[1].id", "live"),
        ('id = "a"\nwindows = 0', "rule[1].windows", "out of range"),
        ('id = "a"\npercent = 101', "rule[1].percent", "out of range"),
        ('id = "a"\nwindows = 3\nchannel = "radio"', "rule[1].channel", "radio"),
        ('id = "a"\nwindows = 3\ncounts = "views"', "rule[1].counts", "views"),
        ('id = "a"\nwindows = 3\n[[rule]]\nid = "a"\nwindows = 4', "rule[2].id", "already"),
    ],
)
def test_an_own_rule_that_makes_no_sense_is_named_with_its_fix(
    tmp_path: Path, lines: str, key: str, wrong: str
) -> None:
    with pytest.raises(EventFileError) as raised:
        load_event(write(tmp_path, f"{PLAIN}\n[[rule]]\n{lines}\n"))
    (problem,) = raised.value.problems
    assert (problem.key, wrong in problem.wrong) == (key, True), problem
    assert problem.fix


def test_any_percentage_of_a_session_is_a_rule(tmp_path: Path) -> None:
    text = PLAIN + '[counting]\nrules = ["attended-95-percent", "attended-5-percent", "views"]\n'
    event = load_event(write(tmp_path, text))
    assert [rule.id for rule in rules_of(event)] == ["views", "attended-5-percent", "attended-95-percent"]
    for wrong in ("attended-0-percent", "attended-101-percent", "attended-05-percent"):
        with pytest.raises(EventFileError):
            load_event(write(tmp_path, PLAIN + f'[counting]\nrules = ["{wrong}"]\n'))
