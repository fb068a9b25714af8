"""How a published certificate, or a file beside it, is made untrue: torn by somebody without a key, or signed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final


def _edit(name: str, change: Callable[[bytes], bytes], which: int = -1) -> Callable[[Path], object]:
    """Change a file: of several of a log that has grown once, the last (-1) is the newest and 0 the oldest."""

    def edit(folder: Path) -> None:
        path = sorted(folder.glob(name))[which]
        before = path.read_bytes()
        assert change(before) != before
        path.write_bytes(change(before))

    return edit


def _flip(at: float) -> Callable[[bytes], bytes]:
    """Change one byte, `at` of the way through."""

    def flip(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


def _evidence(kind: bytes, change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Change the first file of evidence in which these bytes stand."""

    def find(folder: Path) -> None:
        change(next(path for path in sorted((folder / "evidence").iterdir()) if kind in path.read_bytes()))

    return find


def _rewrite(path: Path) -> None:
    path.write_bytes(_flip(0.9)(path.read_bytes()))


TORN: Final[dict[str, Callable[[Path], object]]] = {
    "certificate, one byte": _edit("certificate.json", _flip(0.5)),
    "certificate, a number": _edit("certificate.json", lambda data: data.replace(b'"value":', b'"value":1', 1)),
    "certificate, a space": _edit("certificate.json", lambda data: data.replace(b":", b": ", 1)),
    "certificate, cut off": _edit("certificate.json", lambda data: data[:-20]),
    "certificate, version 9": _edit(
        "certificate.json", lambda data: data.replace(b'"certificate","version":3', b'"certificate","version":9')
    ),
    "proof, its index": _edit("*.tlog-proof", lambda data: data.replace(b"index 1", b"index 2", 1)),
    "proof, a hash": _edit("*.tlog-proof", _flip(0.2)),
    "proof, the root": _edit("*.tlog-proof", _flip(0.55)),
    "proof, the signature": _edit("*.tlog-proof", _flip(0.95)),
    "proof, extra data": _edit("*.tlog-proof", lambda data: data.replace(b"index", b"extra AAAA\nindex", 1)),
    "proof, cut off": _edit("*.tlog-proof", lambda data: data[:-1]),
    "proof, a control character": _edit(
        "*.tlog-proof", lambda data: data.replace(b"\xe2\x80\x94", b"\x01\xe2\x80\x94")
    ),
    "checkpoint, its size": _edit("log/checkpoint", _flip(0.2)),
    "checkpoint, its signature": _edit("log/checkpoint", _flip(0.9)),
    "tile of hashes": _edit("log/tile/0/000.p/*", _flip(0.5)),
    "older tile of hashes": _edit("log/tile/0/000.p/*", _flip(0.5), 0),
    "older bundle of entries": _edit("log/tile/entries/000.p/*", _flip(0.5), 0),
    "bundle of entries": _edit("log/tile/entries/000.p/*", _flip(0.5)),
    "bundle, a byte more": _edit("log/tile/entries/000.p/*", lambda data: data + b"\0"),
    "tile missing": lambda folder: shutil.rmtree(folder / "log" / "tile" / "0"),
    "manifest": _evidence(b'"type":"manifest"', _rewrite),
    "presence": _evidence(b"TURNSEG\0\2\0\1", _rewrite),
    "journal": _evidence(b"TURNSEG\0\2\0\2", _rewrite),
    "evidence missing": _evidence(b"TURNSEG", lambda path: path.unlink()),
}


def _row(said: dict[str, Any], rule: str, **scope: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in said["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
    return found


def _more(rule: str, **scope: str) -> Callable[[dict[str, Any]], object]:
    def more(said: dict[str, Any]) -> None:
        _row(said, rule, **scope)["value"] += 1

    return more


def add(rule: str, more: float, **scope: str) -> Callable[[dict[str, Any]], object]:
    def add(said: dict[str, Any]) -> None:
        row = _row(said, rule, **scope)
        row.update(value=row["value"] + more, checkable_by="evidence")

    return add


UNTRUE: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "keys that came later": lambda said: said["identity"].update(key_changes=[]),
    "no notice": lambda said: said.update(notice="Audited."),
    "another name": lambda said: said["event"].update(name="Olympic Games"),
    "another definition": lambda said: said["rules"][0].update(definition="Clicks."),
    "another pause": lambda said: said["settings"].update(pause="Paused counts."),
    "a witness": lambda said: said.update(witnesses=["a newspaper"]),
    "no gaps": lambda said: said.pop("gaps"),
    "a headline": lambda said: said.update(headline="40 million"),
    "a number left out": lambda said: said["numbers"].remove(_row(said, "views")),
    "a number twice": lambda said: said["numbers"].append(_row(said, "unique-attendees")),
    "views as people": lambda said: _row(said, "views").update(unit="people"),
    "a secret number public": lambda said: _row(said, "unique-attendees").update(checkable_by="log"),
    "a public number": _more("views"),
    "the event": lambda said: said.update(event_sha256="0" * 64),
    "a shorter log": lambda said: said["log"].update(size=said["log"]["size"] - 1),
    "attendees": _more("unique-attendees"),
    "attendees online": _more("unique-attendees-online", session="s1"),
    "attendees on site": _more("unique-attendees-onsite"),
    "attendees of a country": _more("unique-attendees", country="FR"),
    "attendees of a day": _more("unique-attendees", day="2023-11-20"),
    "the peak's minute": lambda said: _row(said, "peak-concurrent-attendees").update(at="2023-11-19T23:57:00+08:00"),
    "hours of a country": _more("hours-viewed", country="FR", channel="online"),
    "second seats": lambda said: said["aliases"].update(count=0),
    "exclusions": lambda said: said["exclusions"].update(excluded=0),
    "an estimate": lambda said: said["cross_check"]["unions"][0].update(estimate=40_000_000),
    "a deviation": lambda said: said["cross_check"]["windows"].update(largest_deviation=None),
    "a crash hidden": lambda said: said["gaps"].update(scans_more_than_a_day_from_the_event=7),
    "another format": lambda said: said["event"].update(format="physical"),
}

MISSHAPEN: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "true for one": lambda said: said["suppression"].update(below=True),
    "a number more than withheld": lambda said: _row(said, "unique-attendees", session="s1").update(suppressed=True),
    "a claim among the numbers": lambda said: _row(said, "unique-attendees").update(audited="yes"),
    "a scope that there is not": lambda said: said["numbers"].append(
        _row(said, "unique-attendees") | {"scope": {"planet": "Mars"}}
    ),
    "words for a value": lambda said: _row(said, "unique-attendees", country="FR").update(value="millions"),
    "words for a bound": lambda said: _row(said, "unique-attendees", country="FR").update(bounds=["few", "many"]),
    "a higher curve": lambda said: said["curve"]["either"].__setitem__(0, 40_000_000),
    "words in the curve": lambda said: said["curve"]["onsite"].__setitem__(0, "many"),
}
"""What no certificate says, seen without the evidence."""

UNEXPLAINED: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "a public number hidden": lambda said: _public(said).update(checkable_by="evidence"),
    "more views": lambda said: _row(said, "views").update(value=99_999, checkable_by="evidence"),
    "a higher peak": lambda said: _row(said, "peak-concurrent-attendees", channel="online").update(
        value=99_999, checkable_by="evidence"
    ),
    "more hours": lambda said: _row(said, "hours-viewed", channel="online").update(
        value=99_999.5, checkable_by="evidence"
    ),
    "withheld": lambda said: _withhold(_row(said, "views")),
    "withheld by session": lambda said: _withhold(_row(said, "views", session="s1")),
    "an interval": lambda said: _withhold(_row(said, "unique-attendees"), bounds=[1, 99_999]),
}
"""In an event that excludes nobody, of which nothing came late."""


def _public(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in said["numbers"] if row["checkable_by"] == "log")
    return found


def _withhold(row: dict[str, Any], **instead: Any) -> None:
    row.pop("at", None)
    row.update({"value": None, "checkable_by": "evidence"} | (instead or {"suppressed": True}))
