"""Redis servers that stand together: a Redis Cluster, and a master with its replica that Sentinels watch.

Every server is a process of its own on a loopback port, in a folder of its own, and is ended by its process id.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis as redis_client

from deploy import embedded_redis
from deploy.embedded_redis import ServerProgram
from load_tests.ports import free_port
from tests.faults.parts import RedisPart
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until

CLUSTER = Path(embedded_redis.__file__).parent / "redis" / "cluster.conf"
SLOTS = 16_384
NODE_TIMEOUT_MS = 3000
"""After this long a node that does not answer is taken for dead: one that only waits for a busy machine is not."""
DOWN_AFTER_MS = 3000
SERVICE = "turnout"


class Server(RedisPart):
    """One server with options of its own."""

    def __init__(self, folder: Path, program: ServerProgram, name: str, options: Sequence[str]) -> None:
        super().__init__(folder, program, name)
        self._options = options

    def _command(self) -> list[str | Path]:
        program, configuration, *others = super()._command()
        # A copy: Sentinels have a server write its configuration anew.
        own = self.directory / "redis.conf"
        shutil.copyfile(configuration, own)
        return [program, own, *others, *self._options]

    def ask(self, *command: str | int, decode: bool = True) -> Any:
        with redis_client.Redis.from_url(self.url, decode_responses=decode, socket_timeout=CERTAIN_S) as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        return dict(self.ask("INFO", section))


class Node(Server):
    """One node of a cluster, with the configuration that deploy/ ships for it and faster time-outs."""

    def __init__(self, folder: Path, program: ServerProgram, name: str) -> None:
        self.bus_port = free_port()
        options = (
            "--include", str(CLUSTER), "--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--cluster-port",
            str(self.bus_port),
        )  # fmt: skip
        super().__init__(folder, program, name, options)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER", "MYID"))


class Sentinel(Server):
    """One Sentinel; its configuration is a file that it writes to."""

    def __init__(self, folder: Path, program: ServerProgram, name: str, master_port: int, quorum: int) -> None:
        super().__init__(folder, program, name, ())
        self._watched = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )

    def _command(self) -> list[str | Path]:
        file = self.directory / "sentinel.conf"
        file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n{self._watched}")
        return [self._program.path, file, "--sentinel"]


class ClusterAtHand:
    """Three masters, each with a replica. `nodes[n + 3]` is at first the replica of `nodes[n]`."""

    def __init__(self, folder: Path, program: ServerProgram) -> None:
        self.nodes = [Node(folder, program, f"node-{number}") for number in range(6)]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.running]

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first, *others = self.nodes
        for node in others:
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        for number, node in enumerate(self.nodes[:3]):
            begin, end = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end)
        for master, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            _until_done(partial(replica.ask, "CLUSTER", "REPLICATE", master.id))
        until(lambda: all(self.whole(node) for node in self.nodes), "the cluster is whole", CERTAIN_S)
        until(lambda: all(_follows(node) for node in self.nodes[3:]), "every replica follows its master", CERTAIN_S)

    def holder_of(self, key: str) -> Node:
        """The master that holds a key."""
        slot = self.running[0].ask("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.running[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody holds {key}")

    def replica_of(self, master: Node) -> Node:
        """The replica that a master had at first, or the other way around."""
        place = self.nodes.index(master)
        return self.nodes[(place + 3) % 6]

    @staticmethod
    def whole(node: Server) -> bool:
        """Whether a node sees all slots held."""
        info = str(node.ask("CLUSTER", "INFO")).split()
        return "cluster_state:ok" in info and "cluster_known_nodes:6" in info

    def end(self) -> None:
        for node in self.nodes:
            node.end()


def _until_done(work: Callable[[], Any]) -> None:
    """Do what may fail as long as nodes do not know each other."""
    deadline = time.monotonic() + CERTAIN_S
    while True:
        try:
            work()
        except redis_client.ResponseError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def _follows(replica: Server) -> bool:
    info = replica.info("replication")
    return (info["role"], info.get("master_link_status")) == ("slave", "up")


@contextmanager
def cluster_at_hand(folder: Path, program: ServerProgram) -> Iterator[ClusterAtHand]:
    """Start a cluster, and end all of it."""
    cluster = ClusterAtHand(folder, program)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


class SentinelSet:
    """A master and its replica, watched by three Sentinels."""

    def __init__(self, folder: Path, program: ServerProgram) -> None:
        # Not appended to file by file: a replica that starts asks its master for everything.
        self.master = Server(folder, program, "master", ("--repl-diskless-sync-delay", "0"))
        self.replica = Server(
            folder, program, "replica",
            ("--repl-diskless-sync-delay", "0", "--replicaof", f"127.0.0.1 {self.master.port}"),
        )  # fmt: skip
        self.sentinels = [Sentinel(folder, program, f"sentinel-{n}", self.master.port, 2) for n in range(3)]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}"

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        until(lambda: _follows(self.replica), "the replica follows", CERTAIN_S)
        for sentinel in self.sentinels:
            sentinel.start()
        until(lambda: all(self._sees_all(sentinel) for sentinel in self.sentinels), "Sentinels see all", CERTAIN_S)

    def _sees_all(self, sentinel: Server) -> bool:
        (said,) = sentinel.ask("SENTINEL", "MASTERS")
        state = dict(zip(said[::2], said[1::2], strict=True))
        return (state["num-other-sentinels"], state["num-slaves"]) == ("2", "1")

    def lag(self) -> int:
        """How many bytes the replica is behind the master."""
        master, replica = (server.info("replication") for server in (self.master, self.replica))
        return int(master["master_repl_offset"]) - int(replica["slave_repl_offset"])

    def promoted(self) -> bool:
        """Whether the replica is master, and every Sentinel says so."""
        try:
            said = [sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE) for sentinel in self.sentinels]
            role = self.replica.info("replication")["role"]
        except redis_client.ConnectionError:
            return False  # Sentinels close a replica's connections when they promote it
        return role == "master" and all(int(place[1]) == self.replica.port for place in said)

    def end(self) -> None:
        for server in (*self.sentinels, self.replica, self.master):
            with contextlib.suppress(AssertionError):
                server.end()


@contextmanager
def sentinels_at_hand(folder: Path, program: ServerProgram) -> Iterator[SentinelSet]:
    """Start a master, its replica and three Sentinels, and end all of them."""
    together = SentinelSet(folder, program)
    try:
        together.start()
        yield together
    finally:
        together.end()
