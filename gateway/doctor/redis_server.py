"""Redis: its version and what it does when it is full, replaced or cut off, by its own INFO.

The registry keeps who has which seat and must neither forget nor evict. The live Redis keeps sketches for minutes: it
may lose them, and should not evict those that are watched. One server may have both roles (docs/redis.md).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from counters.redis_address import open_link
from counters.redis_link import Link, Refusal, read_facts
from deploy.embedded_redis import OLDEST_MAJOR
from deploy.sizing import Needs, amount
from gateway.doctor.finding import Finding, fail, ok, unknown, warn

ANSWER_S: Final = 3.0
SLOW_S: Final = 0.05
"""A join waits for the registry at most 250 ms: what takes a fifth of it before the event is far away or overloaded."""
TRIES: Final = 3
"""The quickest counts: one alone may have met a busy moment."""
OFFSET_S: Final = 2.0
"""As of gateways and ledger: from here on clocks are said to differ."""


class RedisAwayError(Exception):
    """It cannot be reached, or does not let us in."""


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What one server says of itself."""

    name: str  # for people: "Redis 7.0.15"
    major: int  # of the version; 0 = it does not say
    master: bool
    policy: str  # maxmemory-policy
    memory_bytes: int  # maxmemory; 0 = no limit
    used_bytes: int
    append_only: bool
    append_only_fails: bool  # the last write to the file failed
    offset_s: float  # its clock minus ours
    answered_s: float  # how long it took to answer


@dataclass(frozen=True, slots=True)
class Role:
    """What a server is there for. The ledger only reads sketches: to it a server is neither, and need only run."""

    name: str
    registry: bool
    live: bool
    needed_bytes: int  # memory, by deploy.sizing

    @classmethod
    def of(cls, *, registry: bool, live: bool, needs: Needs) -> "Role":
        """Return a role with what it needs."""
        name = "Redis" if registry and live else "registry Redis" if registry else "live Redis"
        return cls(name, registry, live, needs.registry_bytes * registry + needs.live_bytes * live)

    def of_shard(self, number: int, count: int) -> "Role":
        """Return the role of one of several masters, counted from 0; of the only one it is this role."""
        if count == 1:
            return self
        name = f"{self.name}, master {number + 1} of {count}"
        return Role(name, self.registry, self.live, self.needed_bytes // count)


async def examine(url: str, role: Role) -> list[Finding]:
    """Ask the server, or in a cluster all that hold keys, and judge what they say."""
    link = open_link(url, ANSWER_S, RedisAwayError)
    try:
        shards = await link.shards()
        roles = [role.of_shard(number, len(shards)) for number in range(len(shards))]
        return [
            finding
            for shard, part in zip(shards, roles, strict=True)
            for finding in judge(await _facts(shard.link), part)
        ]
    except RedisAwayError as error:
        return [fail(role.name, f"{error}", f"See that it runs and that address and password are right; {_WITHOUT}.")]
    finally:
        await link.close()


_WITHOUT: Final = "without it heartbeats and joins go on, and live numbers do not"


async def _facts(link: Link) -> RedisFacts:
    (info,) = await link.run([("INFO",)])  # pays for the connection
    if isinstance(info, Refusal):
        raise RedisAwayError(f"it refuses to say how it is: {info.text}")
    offsets, took = [], []
    for _ in range(TRIES):
        began = time.perf_counter()
        (now,) = await link.send([("TIME",)])
        took.append(time.perf_counter() - began)
        offsets.append(int(now[0]) + int(now[1]) / 1e6 - time.time())
    quickest = took.index(min(took))
    return read(info, offsets[quickest], took[quickest])


def read(info: bytes, offset_s: float, answered_s: float) -> RedisFacts:
    """Return the facts in an answer to INFO."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    said = {name: value for name, _, value in lines}
    # Valkey's redis_version is the one that it is compatible with.
    major = said.get("redis_version", "").partition(".")[0]
    return RedisFacts(
        name=str(read_facts(info)),
        major=int(major) if major.isdecimal() else 0,
        master=said.get("role", "master") == "master",
        policy=said.get("maxmemory_policy", ""),
        memory_bytes=int(said.get("maxmemory", 0)),
        used_bytes=int(said.get("used_memory", 0)),
        append_only=said.get("aof_enabled", "0") == "1",
        append_only_fails=said.get("aof_last_write_status", "ok") != "ok",
        offset_s=offset_s,
        answered_s=answered_s,
    )


def judge(facts: RedisFacts, role: Role) -> Iterator[Finding]:
    """Yield what is to be said of a server in a role; one line that all is well, if it is."""
    faults = [*_faults(facts, role)]
    yield from faults
    if not faults:
        limit = f"at most {amount(facts.memory_bytes)}" if facts.memory_bytes else "no limit of its memory"
        how = "append-only file, " if facts.append_only else ""
        yield ok(role.name, f"{facts.name} answers in {facts.answered_s * 1000:.1f} ms, {how}{facts.policy}, {limit}")


def _faults(facts: RedisFacts, role: Role) -> Iterator[Finding]:
    if not facts.major:
        yield unknown(f"{role.name}: version", f"{facts.name} does not say which it is", "Ask it yourself: INFO server")
    elif facts.major < OLDEST_MAJOR:
        yield fail(f"{role.name}: version", f"{facts.name} is too old",
                   f"Run Redis {OLDEST_MAJOR}.0 or later, or Valkey: joins need SET with both NX and GET.")  # fmt: skip
    if not facts.master:
        yield fail(f"{role.name}: role", "it is a replica and takes no writes",
                   "Name its master, or its Sentinels: redis+sentinel://…")  # fmt: skip
    yield from _eviction(facts, role)
    if role.registry:
        yield from _append_only(facts, role)
    elif role.live and facts.append_only:
        yield warn(f"{role.name}: append-only file", "it writes every sketch to its disk, for nothing",
                   'appendonly no, save "" (deploy/redis-live.conf)')  # fmt: skip
    if facts.memory_bytes and facts.memory_bytes - facts.used_bytes < role.needed_bytes:
        yield fail(f"{role.name}: memory",
                   f"maxmemory {amount(facts.memory_bytes)}, {amount(facts.used_bytes)} used, and this audience takes "
                   f"{amount(role.needed_bytes)}", "Raise maxmemory, or set it to 0.")  # fmt: skip
    if abs(facts.offset_s) > OFFSET_S:
        yield warn(f"{role.name}: clock", f"it is {facts.offset_s:+.1f} s off this host's",
                   "Keep both hosts' clocks in step (chrony): which of them is wrong shows the ledger's.")  # fmt: skip
    if facts.answered_s > SLOW_S:
        yield warn(f"{role.name}: speed", f"it took {facts.answered_s * 1000:.0f} ms to answer",
                   "Put it near the gateways, on a host of its own: joins wait for it.")  # fmt: skip


def _eviction(facts: RedisFacts, role: Role) -> Iterator[Finding]:
    check = f"{role.name}: eviction"
    if role.registry and facts.policy != "noeviction":
        yield fail(check, f"maxmemory-policy is {facts.policy}: when it is full it forgets who has which seat",
                   "Set maxmemory-policy noeviction (deploy/redis-registry.conf), at once: CONFIG SET "
                   "maxmemory-policy noeviction")  # fmt: skip
    elif role.live and not role.registry and facts.memory_bytes and facts.policy != "volatile-ttl":
        why = "takes no more sketches" if facts.policy == "noeviction" else "evicts sketches that are being watched"
        yield warn(check, f"maxmemory-policy is {facts.policy}: when it is full it {why}",
                   "Set maxmemory-policy volatile-ttl (deploy/redis-live.conf): the oldest go first.")  # fmt: skip


def _append_only(facts: RedisFacts, role: Role) -> Iterator[Finding]:
    check = f"{role.name}: append-only file"
    if not facts.append_only:
        yield fail(check, "it has none: a restart forgets who has which seat",
                   "Set appendonly yes and appendfsync everysec (deploy/redis-registry.conf), at once: CONFIG SET "
                   "appendonly yes")  # fmt: skip
    elif facts.append_only_fails:
        yield fail(check, "its last write failed: it takes no writes any more", "Look at the disk of that host.")
