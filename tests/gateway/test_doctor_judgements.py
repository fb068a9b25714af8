"""What `turnout doctor` makes of machines, servers and events that are not to be had in a test."""

import asyncio
import hashlib
import json
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from counters.disk_room import LOW_WATER_BYTES
from counters.event import Event, WitnessOfEvent, load_event
from counters.issuer_keys import thumbprint
from counters.ledger.log import Log
from counters.log_key import LOG_KEY, load_or_create_signer
from counters.secrets import SCANNER, Generations, Secrets, bind_to_log, load_or_create_secrets
from deploy.sizing import Audience, needs_of
from gateway.doctor import greeting, host, keeping, others, ports, programme, redis_server
from gateway.doctor.finding import Finding, Verdict
from gateway.doctor.host import DiskFacts
from gateway.doctor.redis_server import RedisFacts, Role
from gateway.harmless import harmless_lines
from gateway.ledger_client import KeysThere, LedgerRefusedError, LedgerUnavailableError
from gateway.quantity import quantity
from gateway.settings import default_origin

NEEDS = needs_of(Audience(10_000, 10_000))
REGISTRY, LIVE = Role.of(registry=True, live=False, needs=NEEDS), Role.of(registry=False, live=True, needs=NEEDS)
READ_ONLY = Role.of(registry=False, live=False, needs=NEEDS)
GOOD = (
    b"# Server\r\nredis_version:7.0.15\r\nrun_id:a\r\n# Memory\r\nused_memory:1000000\r\nmaxmemory:0\r\n"
    b"maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\naof_last_write_status:ok\r\n"
    b"# Replication\r\nrole:master\r\n"
)


@pytest.fixture
def event(event_file: Path) -> Event:
    return load_event(event_file)


def redis(**changed: object) -> RedisFacts:
    return replace(redis_server.read(GOOD, 0.01, 0.001), **changed)  # type: ignore[arg-type] # of any field


def said(facts: RedisFacts, role: Role = REGISTRY) -> dict[str, Verdict]:
    return {finding.check.partition(": ")[2]: finding.verdict for finding in redis_server.judge(facts, role)}


# Redis.


def test_a_good_registry_is_one_line() -> None:
    (finding,) = redis_server.judge(redis(), REGISTRY)
    assert (finding.verdict, finding.check) == (Verdict.OK, "registry Redis")
    assert "Redis 7.0.15 answers in 1.0 ms" in finding.detail


@pytest.mark.parametrize(
    ("info", "check", "verdict"),
    [
        (GOOD.replace(b"7.0.15", b"6.2.14"), "version", Verdict.FAIL),
        (GOOD.replace(b"redis_version:7.0.15\r\n", b""), "version", Verdict.UNKNOWN),
        (GOOD.replace(b"role:master", b"role:slave"), "role", Verdict.FAIL),
        (GOOD.replace(b"noeviction", b"volatile-ttl"), "eviction", Verdict.FAIL),
        (GOOD.replace(b"aof_enabled:1", b"aof_enabled:0"), "append-only file", Verdict.FAIL),
        (GOOD.replace(b"status:ok", b"status:err"), "append-only file", Verdict.FAIL),
        (GOOD.replace(b"maxmemory:0", b"maxmemory:1000001"), "memory", Verdict.FAIL),
    ],
)
def test_what_a_registry_says_of_itself_is_judged(info: bytes, check: str, verdict: Verdict) -> None:
    assert said(redis_server.read(info, 0.0, 0.001)) == {check: verdict}


def test_valkey_is_as_new_as_the_redis_that_it_says_it_is() -> None:
    facts = redis_server.read(GOOD.replace(b"7.0.15", b"7.2.4") + b"valkey_version:9.1.2\r\n", 0.0, 0.0)
    assert (facts.name, facts.major) == ("Valkey 9.1.2", 7)


def test_clock_and_distance_of_a_server_are_warnings() -> None:
    assert said(redis(offset_s=-3.0)) == {"clock": Verdict.WARN}
    assert said(redis(answered_s=0.08)) == {"speed": Verdict.WARN}


def test_a_live_redis_may_forget_by_age_and_nothing_else() -> None:
    plain = redis(append_only=False)
    assert said(plain, LIVE) == {"": Verdict.OK}
    full = replace(plain, memory_bytes=10**9)
    assert said(replace(full, policy="volatile-ttl"), LIVE) == {"": Verdict.OK}
    assert said(replace(full, policy="allkeys-lru"), LIVE) == {"eviction": Verdict.WARN}
    assert said(replace(full, policy="noeviction"), LIVE) == {"eviction": Verdict.WARN}
    assert said(redis(append_only=True), LIVE) == {"append-only file": Verdict.WARN}


def test_each_master_of_a_cluster_has_its_share() -> None:
    share = REGISTRY.of_shard(1, 3)
    assert (share.name, share.needed_bytes) == ("registry Redis, master 2 of 3", REGISTRY.needed_bytes // 3)
    assert REGISTRY.of_shard(0, 1) == REGISTRY


def test_a_ledger_only_reads_from_its_redis() -> None:
    assert said(redis(policy="allkeys-lru", memory_bytes=10**7), READ_ONLY) == {"": Verdict.OK}


# The machine.


def test_a_clock_that_nobody_keeps_in_step_is_a_warning() -> None:
    assert host.judge_kernel_clock(in_step=True, largest_error_us=1500).verdict is Verdict.OK
    assert host.judge_kernel_clock(in_step=False, largest_error_us=16_000_000).verdict is Verdict.WARN
    assert host.kernel_clock().verdict in {Verdict.OK, Verdict.WARN, Verdict.UNKNOWN}


@pytest.mark.parametrize(("state", "verdict"), [(0, Verdict.OK), (5, Verdict.WARN), (-1, Verdict.UNKNOWN)])
def test_what_the_kernel_answers_of_its_clock_is_read(
    monkeypatch: pytest.MonkeyPatch, state: int, verdict: Verdict
) -> None:
    monkeypatch.setattr("gateway.doctor.host.ctypes.CDLL", lambda _: SimpleNamespace(adjtimex=lambda _: state))
    assert host.kernel_clock().verdict is verdict


def judged(kind: str = "ext4", free: int = 10**10, refusal: str = "") -> Finding:
    return host.judge_disk("spool", DiskFacts(Path("/x"), kind, free, refusal), 10**9, 5 * 10**9, "for it")


def test_disks_are_judged_by_room_and_kind() -> None:
    assert judged().verdict is Verdict.OK
    assert judged(free=2 * 10**9).verdict is Verdict.WARN
    assert judged(free=10**8).verdict is Verdict.FAIL
    assert judged(refusal="Read-only file system").verdict is Verdict.FAIL
    little = DiskFacts(Path("/x"), "ext4", LOW_WATER_BYTES - 1, "")  # newcomers would be refused at once
    assert host.judge_disk("spool", little, 0, 0, "").verdict is Verdict.FAIL
    for kind in ("nfs4", "fuse.sshfs", "tmpfs", "overlay"):
        assert judged(kind=kind).verdict is Verdict.WARN


def test_a_folder_that_is_not_there_yet_is_on_its_parents_disk(tmp_path: Path) -> None:
    facts = host.look_at_disk(tmp_path / "not" / "yet")
    assert (facts.folder, facts.refusal) == (tmp_path, "")
    assert facts.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_the_kind_of_a_disk_is_that_of_the_deepest_mount_and_the_last() -> None:
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /var/lib rw shared:1 - xfs /dev/sdb rw\n"
        "3 2 0:6 / /var/lib/my\\040spool rw - nfs4 server:/x rw\n"
        "4 1 0:7 / / rw - overlay overlay rw\n"
    )
    assert host.kind_of(Path("/etc"), mounts) == "overlay"
    assert host.kind_of(Path("/var/lib/data"), mounts) == "xfs"
    assert host.kind_of(Path("/var/library"), mounts) == "overlay"
    assert host.kind_of(Path("/var/lib/my spool"), mounts) == "nfs4"
    assert host.kind_of(Path("/etc"), "") == ""


def test_limits_of_the_machine() -> None:
    assert host.judge_open_files(10_000, 2, 5_200).verdict is Verdict.OK
    assert host.judge_open_files(10_001, 2, 5_200).verdict is Verdict.FAIL
    few = host.judge_open_files(10_000, 2, 5_199)
    assert (few.verdict, "LimitNOFILE=10400" in few.fix) == (Verdict.FAIL, True)
    assert host.judge_open_files(10**9, 1, resource.RLIM_INFINITY).verdict is Verdict.OK
    assert host.judge_cores(2, 2, 4).verdict is host.judge_cores(4, 4, 4).verdict is Verdict.OK
    for wanted, workers, there, fix in ((5, 2, 4, "more hosts"), (1, 5, 4, "--workers 4"), (3, 2, 4, "--workers 3")):
        assert fix in host.judge_cores(wanted, workers, there).fix
    assert host.judge_accept_queue(128).verdict is Verdict.WARN
    assert host.judge_accept_queue(4096).verdict is Verdict.OK
    assert host.judge_proxy_ports(30_000, 28_232).verdict is Verdict.WARN
    assert host.judge_proxy_ports(28_000, 28_232).verdict is Verdict.OK


def test_a_port_of_another_users_program_is_taken_too() -> None:
    assert ports.judge_taken("port", "h:1", []).verdict is Verdict.FAIL
    assert ports.judge_taken("port", "h:1", [(7, "nginx: master")]).verdict is Verdict.FAIL
    assert ports.judge_taken("port", "h:1", [(7, "python -m gateway.worker")]).verdict is Verdict.WARN
    by_socket = [(1, "/sbin/init"), (7, "turnout gateway event.toml")]  # systemd holds the gateway's port beside it
    assert ports.judge_taken("port", "h:1", by_socket).verdict is Verdict.WARN
    assert ports.port("port", "192.0.2.1", 1).verdict is Verdict.FAIL  # not an address of this host


# The event.


@pytest.mark.parametrize(
    ("hours", "verdict", "words"),
    [
        (-40 * 24, Verdict.WARN, "begins in 40 days"),
        (-30, Verdict.OK, "begins in 30 hours"),
        (-1, Verdict.OK, "begins in 60 minutes"),
        (0.5, Verdict.OK, "it is on"),
        (5, Verdict.WARN, "over since 3 hours"),
        (24 * 30, Verdict.WARN, "late evidence is counted no more"),
    ],
)
def test_the_events_time_is_judged(event: Event, hours: float, verdict: Verdict, words: str) -> None:
    starts = event.sessions[0].starts_at.timestamp()
    finding = programme.times(event, starts + hours * 3600)
    assert (finding.verdict, words in finding.detail) == (verdict, True), finding


def test_a_simulated_event_says_so(simulated_event_file: Path) -> None:
    event = load_event(simulated_event_file)
    assert "SIMULATED" in programme.times(event, 0.0).detail
    assert programme.rest_s(event, 1e12) == programme.rest_s(event, 0.0) > 0  # its clock is not this one


def test_what_is_left_of_an_event_is_its_scheduled_minutes(event: Event) -> None:
    starts = event.sessions[0].starts_at.timestamp()
    assert programme.rest_s(event, starts - 1e6) == 120 * 60
    assert programme.rest_s(event, starts + 3600) == 60 * 60
    assert programme.rest_s(event, starts + 1e6) == 0


def test_more_sessions_at_once_than_a_leaf_bears_are_told(event: Event) -> None:
    def many(count: int, *, apart: bool = False) -> Event:
        first = event.sessions[0]
        later = (first.ends_at - first.starts_at) * apart
        sessions = [
            replace(first, number=n, starts_at=first.starts_at + later * n, ends_at=first.ends_at + later * n)
            for n in range(count)
        ]
        return replace(event, sessions=tuple(sessions))

    assert list(programme.rooms(many(100))) == list(programme.rooms(many(101, apart=True))) == []
    (finding,) = programme.rooms(many(101))
    assert (finding.verdict, "101 sessions" in finding.detail) == (Verdict.FAIL, True)


def test_issuers_keys_are_judged(event: Event) -> None:
    (issuer,) = event.issuers
    (key,) = issuer.keys

    def one(*, for_players: bool = True, **changed: object) -> Finding:
        changed_issuer = replace(issuer, **changed)  # type: ignore[arg-type] # of any field
        (finding,) = programme.issuers(replace(event, issuers=(changed_issuer,)), for_players=for_players)
        return finding

    assert "development issuer" in one().detail
    assert one(for_players=False).verdict is one(development=False).verdict is Verdict.OK
    nameless = {name: value for name, value in key.items() if name != "kid"}
    assert one(development=False, keys=(nameless,)).verdict is Verdict.OK  # a join has one to try
    assert "without a kid" in one(development=False, keys=(key, nameless)).detail
    assert one(keys=()).verdict is Verdict.FAIL
    assert one(development=False, algorithms=("ES256", "RS256")).detail.endswith("none for RS256")


# The others.


def test_witnesses_that_are_away_matter_as_much_as_the_event_requires_them() -> None:
    away = {"a": "", "b": "refused"}
    assert [found.verdict for found in others.judge_witnesses(1, away)] == [Verdict.OK, Verdict.WARN]
    assert [found.verdict for found in others.judge_witnesses(2, away)][:2] == [Verdict.OK, Verdict.FAIL]
    assert [found.verdict for found in others.judge_witnesses(0, {})] == [Verdict.WARN]


def test_an_event_that_can_spare_no_witness_is_a_warning() -> None:
    assert [found.verdict for found in others.judge_witnesses(1, {"a": "", "b": ""})] == [Verdict.OK, Verdict.OK]
    *_, warning = others.judge_witnesses(1, {"a": ""})
    assert warning.verdict is Verdict.WARN
    assert "required_witnesses is 1, and the event names 1 witness:" in warning.detail


def test_a_witness_is_there_if_anything_answers_but_a_fault(event: Event) -> None:
    """It need not have a page for us."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.path[1:]))

    async def looked_at() -> list[Finding]:
        app = web.Application()
        app.router.add_get("/{status}", answer)
        async with TestServer(app) as server:
            urls = {"no-page": str(server.make_url("/404")), "broken": str(server.make_url("/503")), "unnamed": "",
                    "gone": "http://127.0.0.1:9"}  # fmt: skip
            named = tuple(WitnessOfEvent(name, "", "", url) for name, url in urls.items())
            return await others.witnesses(replace(event, witnesses=named, required_witnesses=1))

    found = asyncio.run(looked_at())
    assert [finding.verdict for finding in found] == [Verdict.OK, Verdict.WARN, Verdict.WARN, Verdict.WARN]
    assert [finding.detail for finding in found][:3] == [
        "answers", "it answers 503", "the event file has no url for it",
    ]  # fmt: skip


def test_an_issuer_that_publishes_nothing_of_use_is_found(event: Event) -> None:
    (issuer,) = event.issuers
    (key,) = issuer.keys
    of_no_use = {"kty": "oct", "k": "AA"}
    assert others.judge_keys(issuer, [of_no_use, key]).verdict is Verdict.OK
    nothing = others.judge_keys(issuer, [of_no_use])
    assert (nothing.verdict, nothing.detail) == (Verdict.WARN, "none that the event's algorithms allow")
    fresh = others.judge_keys(replace(issuer, keys=()), [key])
    assert (fresh.verdict, fresh.detail[:6]) == (Verdict.WARN, "1 of 1")


def test_keys_of_another_generation_than_the_ledgers_are_found() -> None:
    first = Secrets(bytes(32), bytes(32))
    second = replace(first, generations={SCANNER: Generations(1, 2)})
    same = greeting.judge_generations(first, {"scanner": (1, 1)})
    assert (same.verdict, same.detail.count("generation 1")) == (Verdict.OK, 3)
    other = greeting.judge_generations(second, {"organiser": (1, 1), "scanner": (2, 2), "viewing-token": (1, 1)})
    assert other.verdict is Verdict.WARN
    assert "scanners: generations 1 to 2;" in other.detail
    assert other.detail.endswith("the ledger runs with scanners: generation 2")
    assert greeting.judge_generations(first, None).verdict is Verdict.UNKNOWN


def test_a_key_of_the_event_file_that_is_retired_in_the_log_is_found(event: Event) -> None:
    name = thumbprint(event.issuers[0].keys[0])
    there = KeysThere({}, {event.issuers[0].id: frozenset({name, "another"})})
    (found,) = greeting.judge_retired(event, there)
    assert found.verdict is Verdict.WARN
    assert f"1 key of the event file retired in the log: {name}" in found.detail
    assert not [*greeting.judge_retired(event, KeysThere({}, {}))]


class LedgerThatSays:
    """In place of the client of a ledger: it answers a greeting with this, or raises it."""

    heard: Callable[[float, float, float], None]

    def __init__(self, said: KeysThere | Exception) -> None:
        self.said = said

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def greet(self, _digest: str) -> KeysThere:
        if isinstance(self.said, Exception):
            raise self.said
        self.heard(time.time(), time.time(), time.time())
        return self.said


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (LedgerRefusedError("no", "not_found"), [("ledger", Verdict.UNKNOWN)]),  # of before there was the question
        (LedgerRefusedError("no", ""), [("ledger", Verdict.UNKNOWN)]),
        (LedgerRefusedError("no", "other_event"), [("ledger", Verdict.FAIL)]),
        (LedgerUnavailableError("away"), [("ledger", Verdict.FAIL), ("keys", Verdict.UNKNOWN)]),
        (TimeoutError(), [("ledger", Verdict.FAIL), ("keys", Verdict.UNKNOWN)]),
    ],
)
def test_a_ledger_that_refuses_or_is_away_is_judged(
    event: Event, monkeypatch: pytest.MonkeyPatch, says: Exception, found: list[tuple[str, Verdict]]
) -> None:
    monkeypatch.setattr(greeting, "LedgerClient", lambda *_: LedgerThatSays(says))
    there = asyncio.run(greeting.ledger("http://ledger", Secrets(bytes(32), bytes(32)), event))
    assert [(finding.check, finding.verdict) for finding in there] == found
    assert all(finding.detail for finding in there)


def test_a_ledger_that_answers_is_asked_for_clock_keys_and_what_is_retired(
    event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    (issuer,) = event.issuers
    secrets = Secrets(bytes(32), bytes(32))
    says = KeysThere({"scanner": (1, 1)}, {issuer.id: frozenset({thumbprint(issuer.keys[0])})})
    monkeypatch.setattr(greeting, "LedgerClient", lambda *_: LedgerThatSays(says))
    there = asyncio.run(greeting.ledger("http://ledger", secrets, event))
    assert [(finding.check, finding.verdict) for finding in there] == [
        ("ledger", Verdict.OK),
        ("ledger's clock", Verdict.OK),
        ("keys", Verdict.OK),
        (f"issuer {issuer.id}: keys in force", Verdict.WARN),
    ]


def test_one_of_something_is_in_the_singular() -> None:
    assert [quantity(n, "entry") for n in (1, 2, 1234)] == ["1 entry", "2 entries", "1,234 entries"]
    assert (quantity(1, "witness"), quantity(0, "witness"), quantity(2, "key")) == (
        "1 witness", "0 witnesses", "2 keys",
    )  # fmt: skip
    assert "at 1 worker" in host.judge_open_files(10, 1, 20_000).detail


def test_several_problems_stand_on_lines_of_their_own_and_pass_for_no_check() -> None:
    assert harmless_lines("has 2 problems:\n  a\x1b[1m\n✓ b") == "has 2 problems:\n    a\\x1b[1m\n    ✓ b"


def test_clocks_are_judged_as_gateways_judge_them() -> None:
    offsets = [greeting.judge_offset(offset).verdict for offset in (0.5, -2.5, 31.0)]
    assert offsets == [Verdict.OK, Verdict.WARN, Verdict.FAIL]


# What is kept.


def test_extras_that_are_missing_are_named_with_what_to_install() -> None:
    found = [*keeping.extras(lambda module: module != "typst")]
    assert [finding.verdict for finding in found] == [Verdict.WARN, Verdict.OK]
    assert "turnout[report]" in found[0].fix
    (_, parquet) = keeping.extras(lambda module: module != "pyarrow")
    assert parquet.detail == "pyarrow not installed: no list of attendees (turnout attendees) on this host"


OWN = keeping.Readers(mode=0o600, owner=10, group=10, me=10, my_groups=frozenset({10, 2000}))
MOUNTED = replace(OWN, mode=0o440, owner=0, group=2000)


@pytest.mark.parametrize(
    ("readers", "verdict", "fix"),
    [
        (OWN, Verdict.OK, ""),
        (MOUNTED, Verdict.OK, ""),  # of Kubernetes, with fsGroup
        (replace(MOUNTED, mode=0o640), Verdict.OK, ""),
        (replace(OWN, mode=0o640), Verdict.WARN, "chmod 600 s"),
        (replace(OWN, mode=0o640, group=2000), Verdict.WARN, "chmod 600 s"),
        (replace(MOUNTED, group=3000), Verdict.WARN, "chmod 600 s"),  # a group of somebody else
        (replace(OWN, mode=0o604), Verdict.WARN, "chmod 600 s"),
        (replace(MOUNTED, mode=0o444), Verdict.WARN, "chmod o= s; a mounted secret: mode 0440, and this process in"),
    ],
)
def test_secrets_are_for_their_owner_or_a_group_that_they_were_mounted_for(
    readers: keeping.Readers, verdict: Verdict, fix: str
) -> None:
    found = keeping.judge_readers(Path("s"), readers)
    assert (found.verdict, found.fix.startswith(fix), bool(found.fix)) == (verdict, True, bool(fix)), found


def test_secrets_of_another_log_or_for_everybodys_eyes_are_found(event: Event, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.json"
    assert [finding.verdict for finding in keeping.secrets(secrets)] == [Verdict.OK]
    load_or_create_secrets(secrets)
    (none_yet,) = keeping.log(tmp_path, event, "")
    assert (none_yet.verdict, "begins with the first start" in none_yet.detail) == (Verdict.OK, True)
    leaf = json.dumps({"event_sha256": event.digest}).encode()
    with Log.open(tmp_path / "log", load_or_create_signer(tmp_path / LOG_KEY, "a.example")) as log:
        log.append([leaf])
    assert [found.verdict for found in keeping.log(tmp_path, event, "")] == [Verdict.OK]
    assert [found.verdict for found in keeping.log(tmp_path, None, "")] == [Verdict.OK]
    assert [found.verdict for found in keeping.log(tmp_path, event, default_origin(event))] == [Verdict.OK]
    bind_to_log(secrets, leaf)
    assert [found.verdict for found in keeping.log(tmp_path, event, "a.example")] == [Verdict.OK]
    assert [found.verdict for found in keeping.log(tmp_path, event, "b.example")] == [Verdict.WARN]
    secrets.chmod(0o640)
    assert [finding.verdict for finding in keeping.secrets(secrets)] == [Verdict.WARN]
    other = hashlib.sha256(b"another").hexdigest()
    secrets.write_text(json.dumps(json.loads(secrets.read_text()) | {"log": other}))
    (finding,) = keeping.log(tmp_path, event, "")
    assert "belongs to another log" in finding.detail
    secrets.write_text("{}")
    assert [finding.verdict for finding in keeping.secrets(secrets)] == [Verdict.FAIL]
    (tmp_path / "log" / "checkpoint").write_text("nonsense")
    assert [found.verdict for found in keeping.log(tmp_path, event, "")] == [Verdict.FAIL]
