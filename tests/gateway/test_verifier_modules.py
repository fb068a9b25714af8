"""The browser verifier's modules, under Node: published vectors, and the answers of our other implementation."""

import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey
from pyroaring import BitMap

from counters import canonical_json, evidence, hyperloglog, left_out, roaring
from counters.event import Event
from counters.evidence import SegmentError
from counters.issuer_keys import IssuerKeyError, public_key
from counters.ledger.merkle import ProofError, consistency_proof, inclusion_proof, leaf_hash, subtree_of, tree_root
from counters.ledger.note import Verifier
from counters.ledger.reader import LogReader
from counters.ledger.tiles import Tile
from counters.log_entries import read_log
from counters.manifest import Manifest
from counters.measures import Cell
from counters.public_numbers import PublicNumbers
from counters.segment import SegmentHead
from gateway.verifier.build import WORDS, BuildError, bundle, page, words_json
from gateway.verifier.words import words as words_of
from tests.counters.forgeries import ADDED_UP, FORGERIES
from tests.counters.keyed_joins import cases
from tests.counters.ledger.test_golden_log import ENTRIES, ROOTS_AND_SIGNATURES, VERIFIER, golden_note
from tests.counters.published import plain_world, publish, two_namespaces
from tests.counters.synthetic import SIGNER, START, seal
from tests.counters.test_public_differences import excluding
from tests.gateway.verifier_node import Modules

VECTORS = Path(__file__).parents[1] / "vectors" / "evidence-v1"
RFC_8032 = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f"
            "b8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18"
            "ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
)
"""Key, message and signature of §7.1, tests 1 and 3."""
ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture(scope="module")
def node(needed: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Modules]:
    program, folder = needed("node"), tmp_path_factory.mktemp("node")
    return lambda *names: Modules(program, folder, names)


def test_the_words_that_outsiders_read_are_those_of_the_certificates() -> None:
    assert WORDS.read_text(encoding="utf-8") == words_json(), "run `make generate`"


def test_the_page_can_reach_nothing() -> None:
    text = page()
    assert "default-src 'none'" in text
    assert re.findall(r'(?:src|href)="(?!data:,")[^"]*"', text) == []
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|eval)\s*\(", text)
    assert ".innerHTML" not in text


def test_a_module_that_the_inliner_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gateway.verifier.build.FOLDER", tmp_path)
    (tmp_path / "one.js").write_text('import { two } from "./two.js";\nexport const one = two;\n')
    for other, said in (
        ('import { one } from "./one.js";\nexport const two = 2;\n', "needs itself"),
        ("export default 2;\n", "not understood"),
        ('import * as three from "./three.js";\n', "not understood"),
    ):
        (tmp_path / "two.js").write_text(other)
        with pytest.raises(BuildError, match=said):
            bundle("one")


def test_digests_are_those_of_the_standard(node: Callable[..., Modules]) -> None:
    rng = random.Random(1)
    texts = [rng.randbytes(length) for length in (0, 1, 55, 56, 63, 64, 65, 111, 112, 119, 120, 128, 1000, 70_001)]
    cut = [(text[: len(text) // 3], text[len(text) // 3 :]) for text in texts]
    said = node("sha256").run(
        "return given.map(([one, other]) => sha256_js.sha256Hex(bytes(one), bytes(other)))",
        [[one.hex(), other.hex()] for one, other in cut],
    )
    assert said == [sha256(text).hexdigest() for text in texts]


def test_signatures_are_verified_as_rfc_8032_says(node: Callable[..., Modules]) -> None:
    rng = random.Random(2)
    cases = []
    for length in (0, 1, 31, 32, 200):
        key, message = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)), rng.randbytes(length)
        signature, public = key.sign(message), key.public_key().public_bytes_raw()
        again = int.from_bytes(signature[32:], "little") + ORDER  # the same point under another number: malleable
        flipped = bytes([signature[0] ^ 1]) + signature[1:]
        cases += [
            (public, message, signature, True),
            (public, message, flipped, False),
            (public, message + b"x", signature, False),
            (public, message, signature[:32] + again.to_bytes(32, "little"), False),
            (rng.randbytes(32), message, signature, False),
            (public, message, signature[:63], False),
        ]
    cases += [(bytes.fromhex(key), bytes.fromhex(said), bytes.fromhex(by), True) for key, said, by in RFC_8032]
    said = node("ed25519").run(
        "return given.map((one) => ed25519_js.verifyEd25519(...one.map(bytes)))",
        [[part.hex() for part in case[:3]] for case in cases],
    )
    assert said == [case[3] for case in cases]


JSON_TEXTS = (
    b'{"a":1,"b":[true,false,null,"\xc3\xa9"]}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a": 1}', b"1.0", b"1e21",
    b"9007199254740991", b"9007199254740993", b"100000000000000000000", b"0.1", b"1e-7", b"5e-324", b"1E2", b"[1,]",
    b"", b"-0",
    b"\xff", b'"\\ud800"', b'"\\u00e9"', b'"\\u001f"', b'"\x7f"', b"\xef\xbb\xbf1", b"01", b"NaN", b"[" * 50_000,
    '{"\U0001f600":1,"\ufb33":2}'.encode(), '{"\ufb33":2,"\U0001f600":1}'.encode(), b'{"__proto__":{"a":1}}',
)  # fmt: skip


def test_canonical_json_is_told_from_all_other_json(node: Callable[..., Modules]) -> None:
    said = node("canonical_json").run(
        "return given.map((text) => !outcome(() => canonical_json_js.decodeJson(bytes(text), 'it')).error)",
        [text.hex() for text in JSON_TEXTS],
    )

    def is_canonical(text: bytes) -> bool:
        try:
            canonical_json.decode(text)
        except canonical_json.CanonicalJsonError:
            return False
        return True

    assert dict(zip(JSON_TEXTS, said, strict=True)) == {text: is_canonical(text) for text in JSON_TEXTS}
    assert 5 < sum(said) < len(said) - 5


def test_every_golden_checkpoint_is_opened_and_none_with_a_changed_byte(node: Callable[..., Modules]) -> None:
    notes = [golden_note(size) for size in range(len(ROOTS_AND_SIGNATURES))]
    torn = [notes[3][:at] + bytes([notes[3][at] ^ 1]) + notes[3][at + 1 :] for at in range(0, len(notes[3]), 3)]
    said = node("checkpoint", "bytes").run(
        "const key = note_js.readKey(given.key, 1); return given.notes.map((note) => outcome(() => "
        "checkpoint_js.openCheckpoint(bytes(note), key).size).value ?? null)",
        {"key": VERIFIER.encode(), "notes": [note.hex() for note in notes + torn]},
    )
    assert said == list(range(len(notes))) + [None] * len(torn)


def test_keys_are_read_strictly(node: Callable[..., Modules]) -> None:
    sound = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    assert Verifier.decode(sound).encode() == sound
    others = [sound.replace("530d", "530e"), sound.upper(), sound + "=", sound.replace("+Aek", "+BEk"), "a+b", "",
              sound.replace("foo", "f o")]  # fmt: skip
    said = node("note").run(
        "return given.map((key) => !outcome(() => note_js.readKey(key, 1)).error)", [sound, *others]
    )
    assert said == [True] + [False] * len(others)


def test_roots_and_proofs_are_those_of_rfc_6962(node: Callable[..., Modules]) -> None:
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    cases = []
    for size in range(1, len(hashes) + 1):
        subtree, root = subtree_of(hashes[:size]), tree_root(hashes[:size]).hex()
        for index in range(size):
            proof = [one.hex() for one in inclusion_proof(index, size, subtree)]
            cases.append(["inclusion", hashes[index].hex(), index, size, proof, root, True])
            cases.append(["inclusion", hashes[index].hex(), index, size, proof[:-1] or [root], root, False])
        for old in range(size + 1):
            try:
                proof = [one.hex() for one in consistency_proof(old, size, subtree)]
            except ProofError:
                continue
            before = tree_root(hashes[:old]).hex()
            cases.append(["consistency", before, old, size, proof, root, True])
            cases.append(["consistency", before, old, size, [*proof, root], root, False])
            if old > 0:
                cases.append(["consistency", hashes[0].hex() if old > 1 else "00" * 32, old, size, proof, root, False])
    said = node("merkle", "bytes").run(
        """return given.map(([kind, hash, at, size, proof, root]) => !outcome(() => kind === "inclusion"
          ? merkle_js.verifyInclusion(bytes(hash), at, size, proof.map(bytes), bytes(root))
          : merkle_js.verifyConsistency(at, bytes(hash), size, bytes(root), proof.map(bytes))).error)""",
        cases,
    )
    assert said == [case[-1] for case in cases]
    roots = node("merkle", "bytes").run(
        "return given.map((_, n) => bytes_js.base64Of(merkle_js.treeRoot(given.slice(0, n + 1).map(bytes))))",
        [one.hex() for one in hashes],
    )
    assert roots == [root for root, _ in ROOTS_AND_SIGNATURES[1:]]


def test_tiles_have_the_paths_of_tlog_tiles(node: Callable[..., Modules]) -> None:
    tiles = [Tile(0, 1_234_067), Tile(3, 0, 7), Tile(-1, 999), Tile(0, 1000, 255)]
    said = node("log_files").run(
        "return given.map((tile) => log_files_js.tilePath(...tile))",
        [[tile.level if tile.level >= 0 else "entries", tile.index, tile.width] for tile in tiles],
    )
    assert said == [tile.path for tile in tiles]


def _sets() -> list[BitMap]:
    rng = random.Random(5)
    sets = [BitMap(range(1, 5)), BitMap([1, 2, 3]), BitMap([7]), BitMap([65_535, 65_536, 2**31 - 1, 2**32 - 1])]
    sets.append(BitMap(range(1, 70_000)))
    sets.append(BitMap(rng.sample(range(1, 65_536), 5000)))  # bits
    sets.append(BitMap(rng.sample(range(1, 65_536), 4096)))  # the largest array
    sets.append(BitMap([part * 65_536 + 9 for part in range(6)]) | BitMap(range(100, 400)))  # offsets and a run
    return sets


def test_sets_of_seats_are_read_as_the_reference_library_writes_them_and_nothing_else_is(
    node: Callable[..., Modules],
) -> None:
    rng = random.Random(6)
    files = [roaring.encode(seats) for seats in _sets()]
    torn = []
    for data in files:
        for _ in range(60):
            changed = bytearray(data)
            changed[rng.randrange(min(len(changed), 200))] ^= 1 << rng.randrange(8)
            torn += [bytes(changed), data[: rng.randrange(len(data))], data + b"\0"]
    said = node("roaring", "bytes").run(
        "return given.map((file) => outcome(() => { const set = roaring_js.readSeats(bytes(file)); "
        "return [set.size, [...set].slice(0, 50)]; }).value ?? null)",
        [file.hex() for file in files + torn],
    )

    def read(file: bytes) -> list[object] | None:
        try:
            seats = roaring.decode(file)
        except roaring.RoaringError:
            return None
        return [len(seats), list(seats[:50])]

    assert said == [read(file) for file in files + torn]
    assert said[: len(files)] == [[len(seats), list(seats[:50])] for seats in _sets()]
    assert None in said


def test_segments_of_version_1_are_read_and_none_with_a_changed_byte_is_taken_for_another(
    node: Callable[..., Modules],
) -> None:
    files = [bytes.fromhex((VECTORS / f"{name}.hex").read_text()) for name in ("presence", "journal")]
    torn = [data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] for data in files for at in range(0, len(data), 2)]
    said = node("segment", "bytes").run(
        "return given.map((file) => !outcome(() => segment_js.readSegment(bytes(file))).error)",
        [file.hex() for file in files + torn],
    )

    def is_read(data: bytes) -> bool:
        try:
            evidence.decode(data)
        except SegmentError:
            return False
        return True

    assert said == [is_read(file) for file in files + torn]
    assert False in said


def test_the_manifest_of_version_1_is_read(node: Callable[..., Modules]) -> None:
    data = bytes.fromhex((VECTORS / "manifest.hex").read_text())
    read = node("manifest", "bytes").run("return manifest_js.readManifest(bytes(given)).window", data.hex())
    assert read == Manifest.decode(data).window


def test_estimates_are_those_of_redis(node: Callable[..., Modules]) -> None:
    rng = np.random.default_rng(7)
    sketches = [hyperloglog.empty()]
    for people in (1, 50, 3000, 40_000, 700_000):
        registers = hyperloglog.empty()
        ranks = np.minimum(rng.geometric(0.5, people), hyperloglog.MAX_RANK).astype(np.uint8)
        np.maximum.at(registers, rng.integers(0, hyperloglog.REGISTERS, people), ranks)
        sketches.append(registers)
    said = node("hyperloglog", "sha256", "bytes").run(
        "return given.map((one) => { const registers = hyperloglog_js.readRegisters(bytes(one)); "
        "return [hyperloglog_js.estimate(registers), sha256_js.sha256Hex(hyperloglog_js.pack(registers))]; })",
        [evidence.encode_registers(registers).hex() for registers in sketches],
    )
    assert said == [
        [hyperloglog.estimate(registers), sha256(hyperloglog.pack(registers)).hexdigest()] for registers in sketches
    ]


def test_fractions_are_rounded_half_to_even(node: Callable[..., Modules]) -> None:
    rng = random.Random(8)
    exact = [Fraction(rng.randrange(-(10**9), 10**9), rng.randrange(1, 10**6)) for _ in range(300)]
    exact += [Fraction(number, 2 * 10**6) for number in range(-9, 10)]
    said = node("rationals").run(
        "return given.map(([top, bottom]) => new rationals_js.Fraction(BigInt(top), BigInt(bottom)).rounded(6))",
        [[str(one.numerator), str(one.denominator)] for one in exact],
    )
    assert [float(one) for one in said] == [float(round(one, 6)) for one in exact]


def test_times_are_written_as_their_zone_has_them(node: Callable[..., Modules]) -> None:
    rng = random.Random(9)
    first, last = int(datetime(2001, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2036, 1, 1, tzinfo=UTC).timestamp())
    cases = []
    for name in ("Asia/Shanghai", "Europe/Paris", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"):
        cases += [(name, rng.randrange(first, last)) for _ in range(60)]
        change = datetime(2024, 3, 31, 1, tzinfo=UTC)  # Paris goes from +01:00 to +02:00
        cases += [(name, int((change + timedelta(seconds=by)).timestamp())) for by in (-1, 0, 1)]
    said = node("event").run(
        """const events = {};
        const of = (zone) => events[zone] ??= new event_js.Event({ id: "e", name: "E", organiser: "", time_zone: zone,
          interval_s: 30, window_s: 60, late_until: given.until[zone], sessions: given.sessions[zone], simulation: null,
          issuers: [{ id: "i", namespace: "n", operated_by: "", development: true }],
          counting: { rules: [], exclude_categories: [], suppress_below: 10 } });
        return given.cases.map(([zone, at]) => [of(zone).iso(at), of(zone).time(of(zone).iso(at))]);""",
        {
            "cases": cases,
            "until": {name: _iso(name, last) for name, _ in cases},
            "sessions": {
                name: [{"number": 1, "id": "s", "title": "S", "starts_at": _iso(name, first),
                        "ends_at": _iso(name, first + 60), "gates": []}]
                for name, _ in cases
            },
        },
    )  # fmt: skip
    assert said == [[_iso(name, at), at] for name, at in cases]


def _iso(zone: str, at: int) -> str:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="seconds")


def test_lies_beside_the_numbers_are_refused_as_the_command_line_refuses_them(
    node: Callable[..., Modules], tmp_path: Path
) -> None:
    words = {"plain": FORGERIES, "several": ADDED_UP}
    for name, world in (("plain", plain_world()), ("several", two_namespaces(plain_world()))):
        files = publish(world, tmp_path / name)
        sound = json.loads(files.certificate)
        documents = [sound, *(json.loads(files.certificate) for _ in words[name])]
        for document, (_, lie) in zip(documents[1:], words[name].values(), strict=True):
            lie(document)
        entries = list(LogReader(files.log_dir, SIGNER.verifier).entries())[: sound["log"]["size"]]
        said = node("bytes", "log_entries", "members").run(
            "const log = log_entries_js.readEntries(given.entries.map(bytes)); "
            "return given.documents.map((document) => "
            "outcome(() => members_js.checkMembers(log, document, given.words)).error ?? null)",
            {"entries": [entry.hex() for entry in entries], "documents": documents, "words": words_of()["3"]},
        )
        assert said[0] is None
        expected = {what: part for what, (part, _) in words[name].items()}
        assert {what: part in error for (what, part), error in zip(expected.items(), said[1:], strict=True)} == (
            dict.fromkeys(expected, True)
        ), said


def test_a_segment_without_anybody_is_still_a_segment(node: Callable[..., Modules]) -> None:
    head = SegmentHead("0" * 64, "gateway", 1_700_355_600, 30, ())
    data = evidence.encode(evidence.PresenceSegment.of(head, {}, []))
    assert node("segment", "bytes").run("return segment_js.readSegment(bytes(given)).sessions", data.hex()) == []


def test_a_key_that_came_later_has_the_names_and_numbers_that_the_command_line_takes(
    node: Callable[..., Modules],
) -> None:
    key = ECKey.generate_key("P-256", private=False).as_dict(private=False)
    kids = ["k", "k" * 255, "k" * 256, "", "a\u202eb", "two words"]
    outcomes = node("issuer_keys").run(
        """
        const event = { issuers: [{ id: "tickets", row: { keys: [], algorithms: ["ES256"] } }], time: Number };
        const entry = (jwk, number) => ({ number, at: 0, reason: "new", issuer: "tickets", action: "add", jwk,
          thumbprint: issuer_keys_js.thumbprint(jwk) });
        const take = (jwk) => new issuer_keys_js.IssuerKeys(event).take(1, entry(jwk, 1), -60);
        const limited = new issuer_keys_js.IssuerKeys(event);
        limited.changes = Array(100).fill({ at: 0 });
        return [...given.kids.map((kid) => outcome(() => take({ ...given.key, kid }))),
          outcome(() => limited.take(1, entry(given.key, 101), -60))];
        """,
        {"key": key, "kids": kids},
    )
    for kid, outcome in zip(kids, outcomes, strict=False):
        try:
            public_key({**key, "kid": kid}, ("ES256",))
        except IssuerKeyError:
            assert "error" in outcome, kid
        else:
            assert "error" not in outcome, kid
    assert "there is room for no more keys" in outcomes[-1]["error"]


def test_joins_under_keys_not_in_force_are_found_as_the_command_line_finds_them(node: Callable[..., Modules]) -> None:
    given = [
        {
            "entries": [entry.hex() for entry in keyed.sealed.entries],
            "files": {digest: data.hex() for digest, data in keyed.sealed.files.items()},
        }
        for keyed in cases().values()
    ]
    said = node("bytes", "log_entries", "evidence").run(
        """
        return Promise.all(given.map(async ({ entries, files }) => {
          const log = log_entries_js.readEntries(entries.map(bytes));
          const folder = { read: async (name) => (name in files ? bytes(files[name]) : null) };
          const found = await evidence_js.checkEvidence(log, folder, async () => {});
          return outcome(() => found.keysOfJoins.told());
        }));
        """,
        given,
    )
    for keyed, told in zip(cases().values(), said, strict=True):
        _, passed, words = keyed.found()
        if passed is False:
            assert told == {"error": words}
        else:
            assert told["value"]["open"] == ("" if passed else words)
            assert words.startswith(told["value"]["said"])


def test_leaves_bound_views_as_they_do_for_the_command_line(node: Callable[..., Modules]) -> None:
    """Of leaves of both versions, which are rebuilt from their evidence, and of what no leaf says."""
    scopes = [{}, {"session": "s1"}, {"session": "s2"}, {"day": "2023-11-19"}, {"day": "2023-11-20"}]
    worlds = [(excluding(below), since) for below in (1, 2) for since in (0, START + 180, START + 7200)]
    given, expected = [], []
    for world, since in worlds:
        sealed = seal(world, leaves_of_version_2_from=since)
        log = read_log(sealed.entries)
        files = {digest: data.hex() for digest, data in sealed.files.items()}
        given.append({"entries": [entry.hex() for entry in sealed.entries], "files": files, "scopes": scopes})
        numbers = {session.id: session.number for session in world.event.sessions}
        cells = [Cell(numbers.get(scope.get("session", "")), scope.get("day")) for scope in scopes]
        expected.append([PublicNumbers(log).most_views(cell) for cell in cells])
    kept = json.loads((VECTORS.parent / "leaf-v2" / "log.json").read_text(encoding="utf-8"))
    entries = [entry.encode() for entry in kept["entries"]]
    given.append({"entries": [entry.hex() for entry in entries], "files": kept["evidence"], "scopes": [{}]})
    expected.append([PublicNumbers(read_log(entries)).most_views(Cell())])
    leaves: list[Any] = [{}, [], None, {"s9": 4}, {"s1": 2}, {"s1": 4}, {"s1": 5}, {"s1": "4"}, {"s1": 4, "s2": 6}]
    said = node("bytes", "log_entries", "evidence", "public_numbers", "left_out").run(
        """
        const most = async ({ entries, files, scopes }) => {
          const log = log_entries_js.readEntries(entries.map(bytes));
          const folder = { read: async (name) => (name in files ? bytes(files[name]) : null) };
          await evidence_js.checkEvidence(log, folder, async () => {});
          return scopes.map((scope) => new public_numbers_js.PublicNumbers(log).mostViews(scope));
        };
        const event = log_entries_js.readEntries(given.worlds.at(-1).entries.map(bytes)).event;
        const read = given.leaves.map((said) => "value" in outcome(() => left_out_js.readLeftOut(event, said)));
        return Promise.all(given.worlds.map(most)).then((worlds) => ({ worlds, read }));
        """,
        {"worlds": given, "leaves": leaves},
    )
    assert said["worlds"] == expected
    assert [None in bounds for bounds in expected[:3]] == [False, False, True]
    assert said["read"] == [_is_read(worlds[-1][0].event, each) for each in leaves]
    assert said["read"] == [True, False, False, False, False, True, False, False, True]


def _is_read(event: Event, said: object) -> bool:
    try:
        left_out.read(event, said)
    except ValueError:
        return False
    return True
