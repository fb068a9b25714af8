"""Timestamps of an outside authority: asked for, kept, served and checked; and whatever is wrong with one is found."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from click.testing import CliRunner

from counters.disk import DISK
from counters.ledger.checkpoint import Checkpoint
from counters.ledger.log import Log
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.proof import TlogProof
from counters.ledger.reader import LogReader
from counters.timestamp_files import timestamp_path, timestamped_sizes
from counters.timestamps import Authority, Question, TimestampError
from counters.verify import Report, Verdict, verify
from gateway import timestamping
from gateway.cli import main
from gateway.problems import Refused
from gateway.reasons import Reason
from gateway.timestamping import Timestamping
from tests.counters.published import POLICY, Files, detail, plain_world, publish
from tests.counters.synthetic import SIGNER
from tests.gateway.authority import Misbehaviour, TestAuthority, make_authority, served
from tests.gateway.serving import NOW, PATIENCE_S, ask, ledger, until

if TYPE_CHECKING:
    from gateway.ledger_thread import LedgerThread

TEXT = b"log.example/synthetic\n3\nAAAA\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory, needed: Callable[[str], str]) -> Iterator[TestAuthority]:
    with served(make_authority(tmp_path_factory.mktemp("authority") / "good", needed("openssl"))) as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return publish(plain_world(people=3, rules=("views",)), tmp_path_factory.mktemp("stamped"))


# One timestamp.


def test_an_answer_to_the_question_is_a_time_that_only_its_authority_gives(
    authority: TestAuthority, tmp_path: Path
) -> None:
    question = Question.about(TEXT)
    answer = authority.answer(question.query)
    question.check(answer)
    at = Authority.decode(authority.ca).time_of(answer, TEXT)
    assert abs(at - (tmp_path / ".").stat().st_mtime) < 3600
    with pytest.raises(TimestampError, match="something else"):
        Authority.decode(authority.ca).time_of(answer, TEXT + b"\n")
    with pytest.raises(TimestampError, match="something else"):
        replace(question, text=b"another").check(answer)
    with pytest.raises(TimestampError, match="another question"):
        Question.about(TEXT).check(answer)
    other = make_authority(tmp_path / "other", authority.openssl)
    with pytest.raises(TimestampError, match="not signed by that authority"):
        Authority.decode(other.ca).time_of(answer, TEXT)


def test_openssl_reads_a_timestamp_as_the_page_says(authority: TestAuthority, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.txt").write_bytes(TEXT)
    (tmp_path / "812.tsr").write_bytes(authority.answer(Question.about(TEXT).query))
    (tmp_path / "ca.pem").write_bytes(authority.ca)
    (line,) = re.findall(r"^    openssl (ts -verify .*)$", Path("docs/timestamps.md").read_text(), re.MULTILINE)
    done = subprocess.run([authority.openssl, *line.split()], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "checkpoint.txt").write_bytes(TEXT[:-1])
    assert subprocess.run([authority.openssl, *line.split()], cwd=tmp_path, capture_output=True, check=False).returncode


def test_an_authority_whose_certificates_have_expired_or_are_not_valid_yet_is_not_believed(
    authority: TestAuthority, tmp_path: Path
) -> None:
    for name, days in (("expired", (-9, -1)), ("early", (1, 9))):
        bad = make_authority(tmp_path / name, authority.openssl, valid_days=days)
        question = Question.about(TEXT)
        answer = bad.answer(question.query)
        with pytest.raises(TimestampError, match="not signed by that authority"):
            Authority.decode(bad.ca).time_of(answer, TEXT)


def test_no_changed_byte_of_a_timestamp_gives_another_time(authority: TestAuthority) -> None:
    trusted, answer = Authority.decode(authority.ca), authority.answer(Question.about(TEXT).query)
    at = trusted.time_of(answer, TEXT)
    for position in range(len(answer)):
        for mask in (0x01, 0x80):
            changed = bytearray(answer)
            changed[position] ^= mask
            try:
                assert trusted.time_of(bytes(changed), TEXT) == at
            except TimestampError:
                continue
    for length in range(0, len(answer), 17):
        with pytest.raises(TimestampError):
            trusted.time_of(answer[:length], TEXT)


def test_a_refusal_and_what_is_no_certificate_are_said_in_words(authority: TestAuthority) -> None:
    refusal = authority.answer(b"\x30\x00")
    with pytest.raises(TimestampError, match="the authority refused: status 2"):
        Question.about(TEXT).check(refusal)
    signer = (authority.folder / "tsa.pem").read_bytes()
    for pem, words in ((b"nonsense", "no certificates in PEM"), (signer, "none of these certificates is a root")):
        with pytest.raises(TimestampError, match=words):
            Authority.decode(pem)


# With a certificate.


def stamp(authority: TestAuthority, files: Files, folder: Path, *sizes: int) -> None:
    """Put timestamps of the log's states of these sizes into a folder."""
    leaves = [leaf_hash(entry) for entry in LogReader(files.log_dir, SIGNER.verifier).entries()]
    folder.mkdir(exist_ok=True)
    for size in sizes:
        text = Checkpoint(SIGNER.name, size, tree_root(leaves[:size])).encode().encode()
        timestamp_path(folder, size).write_bytes(authority.answer(Question.about(text).query))


def timed(files: Files, authority: TestAuthority, folder: Path, *, alone: bool = False) -> Report:
    log = {"log_dir": None} if alone else {}
    return files.report(evidence_dir=None, authority=authority.ca, timestamps_dir=folder, **log)


def test_timestamps_say_since_when_certificate_and_windows_were_in_the_log(
    authority: TestAuthority, files: Files, tmp_path: Path
) -> None:
    proven = TlogProof.decode(files.proof).index + 1
    stamp(authority, files, tmp_path / "stamps", 3, proven)
    for alone in (True, False):
        report = timed(files, authority, tmp_path / "stamps", alone=alone)
        assert report.verdict is Verdict.HOLDS, report.checks
        assert "; the certificate was in the log at 20" in detail(report, "timestamps")
        assert "CN=good root" in detail(report, "timestamps")
    assert "1 of CN=good root, and 1 of states that are not known here" in detail(
        timed(files, authority, tmp_path / "stamps", alone=True), "timestamps"
    )
    stamp(authority, files, tmp_path / "early", 3)
    assert "none of a state that holds the certificate" in detail(
        timed(files, authority, tmp_path / "early"), "timestamps"
    )


def test_a_timestamp_of_another_state_or_authority_fails_and_none_at_all_is_open(
    authority: TestAuthority, files: Files, tmp_path: Path
) -> None:
    stamp(authority, files, tmp_path / "stamps", 3, 4)
    shutil.copytree(tmp_path / "stamps", tmp_path / "exchanged")
    timestamp_path(tmp_path / "stamps", 3).replace(timestamp_path(tmp_path / "exchanged", 4))
    report = timed(files, authority, tmp_path / "exchanged")
    assert [check.name for check in report.failed] == ["timestamps"]
    assert "the timestamp of size 4: it is a timestamp of something else" in detail(report, "timestamps")
    other = make_authority(tmp_path / "other", authority.openssl)
    assert [check.name for check in timed(files, other, tmp_path / "stamps").failed] == ["timestamps"]
    (tmp_path / "none").mkdir()
    assert timed(files, authority, tmp_path / "none").verdict is Verdict.OPEN
    assert verify(files.certificate, files.proof, policy=POLICY, authority=authority.ca).verdict is Verdict.OPEN


def test_the_command_checks_timestamps_against_a_file_of_certificates(
    authority: TestAuthority, files: Files, tmp_path: Path
) -> None:
    proven = TlogProof.decode(files.proof).index + 1
    stamp(authority, files, tmp_path / "stamps", proven)
    (tmp_path / "certificate.json").write_bytes(files.certificate)
    (tmp_path / "certificate.tlog-proof").write_bytes(files.proof)
    (tmp_path / "policy").write_text(f"log {SIGNER.verifier.encode()}\n")
    given = ["verify", str(tmp_path / "certificate.json"), "--policy", str(tmp_path / "policy"), "--timestamps",
             str(tmp_path / "stamps")]  # fmt: skip
    done = CliRunner().invoke(main, [*given, "--authority", str(authority.folder / "ca.pem"), "--json"])
    assert done.exit_code == 0, done.output
    assert {row["name"]: row["passed"] for row in json.loads(done.output)["checks"]}["timestamps"] is True
    for wrong, words in (([], "--authority"), (["--authority", str(tmp_path / "policy")], "no certificates")):
        done = CliRunner().invoke(main, [*given, *wrong])
        assert (done.exit_code, words in done.output) == (2, True), done.output
    assert timestamped_sizes(tmp_path / "stamps") == [proven]


# Asked for by the ledger.


class Thread:
    """The ledger's thread, as far as it writes what an authority answers."""

    full = False

    async def keep(self, work: Callable[[], object]) -> object:
        if self.full:
            raise Refused(Reason.DISK_FULL)
        return work()


@contextmanager
def asking(authority: TestAuthority, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Timestamping]:
    """Prepare to ask about a log of three entries, without patience."""
    for name in ("LOOK_EVERY_S", "FIRST_RETRY_S", "LONGEST_RETRY_S"):
        monkeypatch.setattr(timestamping, name, 0.01)
    with Log.open(folder / "log", SIGNER) as log:
        log.append([b"one", b"two", b"three"])
        (folder / "certificates").mkdir()
        clock = iter(range(0, 10**6, 10))  # ten seconds pass with each look
        thread = cast("LedgerThread", Thread())
        yield Timestamping(
            authority.url, log, (folder / "log", folder / "certificates"), thread, DISK, lambda: float(next(clock))
        )


async def until_counted(timestamping: Timestamping, **counts: int) -> None:
    """Ask until there are so many of each outcome."""
    asking = asyncio.create_task(timestamping.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while any(timestamping.counts[outcome] < count for outcome, count in counts.items()):
                assert not asking.done(), asking
                await asyncio.sleep(0.005)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def about_something_else(query: bytes) -> bytes:
    """Answer about another digest, with the nonce that was asked."""
    at = query.index(b"\x04\x20") + 2
    return query[:at] + bytes(32) + query[at + 32 :]


@pytest.mark.parametrize(
    ("misbehaviour", "outcome"),
    [(lambda _: None, "unreachable"), (about_something_else, "refused"), (lambda _: b"\x30\x00", "refused")],
)
def test_whatever_an_authority_does_is_counted_and_it_is_asked_again(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    misbehaviour: Misbehaviour, outcome: str,
) -> None:  # fmt: skip
    with asking(authority, tmp_path, monkeypatch) as timestamping:
        monkeypatch.setattr(authority, "misbehaviour", misbehaviour)
        asyncio.run(until_counted(timestamping, **{outcome: 2}))
        assert timestamped_sizes(tmp_path / "log" / "timestamps") == []
        monkeypatch.setattr(authority, "misbehaviour", lambda query: query)
        asyncio.run(until_counted(timestamping, kept=1))
        assert timestamped_sizes(tmp_path / "log" / "timestamps") == [3]
        assert timestamping.wanted() is None, "nothing is new"


def test_an_old_answer_and_an_authority_that_is_away_give_no_timestamp(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Question.about(TEXT).query
    with asking(authority, tmp_path / "replayed", monkeypatch) as timestamping:
        monkeypatch.setattr(authority, "misbehaviour", lambda _: query)
        asyncio.run(until_counted(timestamping, refused=1))
    monkeypatch.setattr(authority, "url", "http://127.0.0.1:9/tsa")
    with asking(authority, tmp_path / "away", monkeypatch) as timestamping:
        asyncio.run(until_counted(timestamping, unreachable=2))


def test_a_disk_that_refuses_costs_a_timestamp_and_nothing_else(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asking(authority, tmp_path, monkeypatch) as timestamping:
        monkeypatch.setattr(Thread, "full", True)
        asyncio.run(until_counted(timestamping, disk=1))
        monkeypatch.setattr(Thread, "full", False)
        asyncio.run(until_counted(timestamping, kept=1))


def test_the_newest_state_is_stamped_every_ten_minutes_while_the_log_grows_and_a_certificates_at_once(
    authority: TestAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with asking(authority, tmp_path, monkeypatch) as timestamping:
        asyncio.run(until_counted(timestamping, kept=1))
        timestamping.log.append([b"four"])
        assert timestamping.wanted() is None, "ten minutes have not passed"
        timestamping.log.append([b"five"])
        proof = timestamping.log.tlog_proof(4).encode()
        (tmp_path / "certificates" / "4.json").write_bytes(b"{}")
        assert timestamping.wanted() is None, "its proof is not there"
        (tmp_path / "certificates" / "4.tlog-proof").write_bytes(proof)
        wanted = timestamping.wanted()
        assert wanted is not None
        assert wanted.size == 5
        timestamping.log.append([b"six"])
        asyncio.run(until_counted(timestamping, kept=2))
        assert timestamped_sizes(tmp_path / "log" / "timestamps") == [3, 5]
        looks = [timestamping.wanted() for _ in range(61)]
        assert looks[0] is None
        assert looks[-1] is not None
        assert looks[-1].size == 6


def test_a_ledger_has_its_certificate_stamped_serves_the_timestamp_and_counts_it(
    authority: TestAuthority, simulated_event_file: Path, tmp_path: Path
) -> None:
    with ledger(simulated_event_file, tmp_path / "data", timestamp_url=authority.url) as running:
        running.jump(NOW)
        issued = running.organise("POST", "/v1/events/expo/certificates")
        assert issued.status in (200, 201), issued
        number = issued.json["id"]
        proof = running.organise("GET", f"/v1/events/expo/certificates/{number}.tlog-proof").body
        size = int(TlogProof.decode(proof).checkpoint_note.split(b"\n")[1])
        until(lambda: running.ask("GET", f"/log/timestamps/{size}.tsr").status == 200, "it is stamped")
        listed = running.ask("GET", "/log/timestamps/")
        assert f"{size}\n" in listed.body.decode()
        for name in (f"timestamps/{size + 1}.tsr", f"timestamps/{size}", "timestamps/../checkpoint", "cosigned/1"):
            assert running.ask("GET", f"/log/{name}").status == 404, name
        certificate = running.organise("GET", f"/v1/events/expo/certificates/{number}").body
        report = verify(certificate, proof, authority=authority.ca, timestamps_dir=running.data / "log" / "timestamps")
        assert "the certificate was in the log at 20" in detail(report, "timestamps")
        text = ask(int(running.metrics.rpartition(":")[2].partition("/")[0]), "GET", "/metrics").body.decode()
        assert 'turnout_ledger_timestamps_total{outcome="kept"}' in text


def test_without_the_extra_it_is_said_at_the_start(simulated_event_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "counters.timestamps", None)
    done = CliRunner().invoke(
        main, ["ledger", str(simulated_event_file), "--redis", "redis://127.0.0.1:9", "--timestamp-url", "http://tsa"]
    )
    assert done.exit_code == 2
    assert "pip install 'turnout[timestamps]'" in done.output
    assert timestamping.why_not_available() == timestamping.MISSING_EXTRA
