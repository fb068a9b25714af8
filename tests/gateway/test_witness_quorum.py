"""The ledger's side of its witnesses, against witnesses that answer badly, slowly, not at all, or lie."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from counters.event import Event, WitnessOfEvent, load_event
from counters.ledger.checkpoint import Checkpoint, open_checkpoint
from counters.ledger.cosignature import cosign, cosignatures, witness_key
from counters.ledger.log import Log
from counters.ledger.note import Signature, Signer, parse_note
from counters.ledger.witness import Witness
from counters.ledger.witness_protocol import SIZE_TYPE, AddCheckpoint, Verdict
from gateway import witness_client
from gateway.witness_addresses import WitnessesError
from gateway.witness_quorum import WitnessQuorum

LOG = Signer("log.example/expo", bytes(range(32)))
NOW = 1_700_000_000
PATIENCE_S = 180.0
TIMEOUT_S = 0.5
"""Of a request to a witness that hangs. One that answers is waited for as long as it takes."""

Behaviour = Callable[[bytes], Awaitable[web.Response]]


@dataclass
class Fake:
    """A witness over HTTP that behaves as a test wants; `good` is the real one."""

    number: int
    folder: Path
    asked: list[AddCheckpoint] = field(default_factory=list)
    behaviour: Behaviour | None = None
    url: str = ""
    now: int = NOW  # its clock

    def __post_init__(self) -> None:
        self.signer = Signer(f"witness.example/{self.number}", bytes([self.number + 1] * 32))
        self.witness = Witness(self.folder / f"w{self.number}", self.signer, lambda _: [LOG.verifier])

    @property
    def named(self) -> WitnessOfEvent:
        return WitnessOfEvent(f"w{self.number}", witness_key(self.signer).encode(), f"Org {self.number}", self.url)

    async def serve(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_post("/add-checkpoint", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0][:2])

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append(AddCheckpoint.decode(body))
        return await (self.behaviour or self.good)(body)

    async def good(self, body: bytes) -> web.Response:
        answer = self.witness.add_checkpoint(body, self.now)
        return web.Response(text=answer.body, status=answer.verdict.value)


def said(status: int, text: str = "no\n", **headers: str) -> Behaviour:
    async def answer(_: bytes) -> web.Response:
        return web.Response(text=text, status=status, headers=headers)

    return answer


@dataclass
class Scene:
    """A log and its witnesses in one event loop."""

    log: Log
    fakes: list[Fake]
    quorum: WitnessQuorum
    published: list[int]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    def append(self, *entries: bytes) -> None:
        self.log.append(entries)

    def cosigned_by(self) -> set[str]:
        keys = {witness_key(fake.signer): f"w{fake.number}" for fake in self.fakes}
        return {keys[key] for key in cosignatures(self.log.published.checkpoint_note, keys)}


def play(
    folder: Path, event: Event, count: int, required: int, scenario: Callable[[Scene], Coroutine[Any, Any, None]],
    before: Sequence[bytes] = (b"leaf 0",), *, behaviours: Sequence[Behaviour | None] = (),
) -> None:  # fmt: skip
    """Run a scenario: a log of the entries `before`, and so many witnesses, `required` of which must cosign."""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            fakes = [Fake(number, folder) for number in range(count)]
            for fake, behaviour in itertools.zip_longest(fakes, behaviours):
                fake.behaviour = behaviour
                stack.callback(fake.witness.close)
                await fake.serve(stack)
            witnessed = replace(event, witnesses=tuple(fake.named for fake in fakes), required_witnesses=required)
            log = stack.enter_context(Log.open(folder / "log", LOG, withhold=required > 0))
            published: list[int] = []

            async def publish(note: bytes) -> object:
                done = log.publish(note)
                if log.published.size not in published:
                    published.append(log.published.size)
                return done

            async def read(work: Callable[[], object]) -> object:
                return work()

            if not log.size:
                log.append(before)
            quorum = WitnessQuorum(witnessed, log, LOG.verifier, publish, read)
            asking = asyncio.create_task(quorum.run())
            await scenario(Scene(log, fakes, quorum, published))
            assert not asking.done(), asking
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(run())


@pytest.fixture(scope="module")
def event(simulated_event_file: Path) -> Event:
    return load_event(simulated_event_file)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs are counted as answers are: a machine that stands still must add none."""
    monkeypatch.setattr(witness_client, "TIMEOUT", aiohttp.ClientTimeout(total=PATIENCE_S))


async def _hangs(_: bytes) -> web.Response:
    await asyncio.sleep(4 * TIMEOUT_S)
    return web.Response()


async def _another_key(body: bytes) -> web.Response:
    text, _ = parse_note(AddCheckpoint.decode(body).note)
    return web.Response(text=cosign(text, Signer("witness.example/0", bytes(32)), NOW).line)


async def _bad_signature(body: bytes) -> web.Response:
    text, _ = parse_note(AddCheckpoint.decode(body).note)
    line = cosign(text, Signer("witness.example/0", bytes([1] * 32)), NOW)
    broken = Signature(line.name, line.key_id, line.signature[:-1] + b"\0")
    return web.Response(text=broken.line)


async def _another_text(_: bytes) -> web.Response:
    other = Checkpoint(LOG.name, 1, bytes(32)).encode()
    return web.Response(text=cosign(other, Signer("witness.example/0", bytes([1] * 32)), NOW).line)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (said(400), "malformed"),
        (said(403), "untrusted"),
        (said(404), "unknown_log"),
        (said(409, "many\n"), "not_understood"),
        (said(409, "9" * 30), "not_understood"),
        (said(418), "not_understood"),
        (said(302, Location="http://127.0.0.1:1/"), "not_understood"),
        (said(200, ""), "not_understood"),
        (said(200, "junk\n"), "not_understood"),
        (said(200, "— a b\n" * 5_000), "not_understood"),
        (said(200, "x" * 10_000_000), "not_understood"),
        (said(500), "unreachable"),
        (said(503), "unreachable"),
        (_hangs, "unreachable"),
        (_another_key, "not_understood"),
        (_bad_signature, "not_understood"),
        (_another_text, "not_understood"),
    ],
)
def test_whatever_a_witness_says_instead_is_counted_and_asked_again_and_nothing_is_shown(
    tmp_path: Path, event: Event, behaviour: Behaviour, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if behaviour is _hangs:
        monkeypatch.setattr(witness_client, "TIMEOUT", aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: scene.quorum.counts["w0", outcome] >= 2)
        assert scene.log.published.size == 0
        assert scene.quorum.held() is not None
        assert f"w0: {outcome}" in scene.quorum.why_not_ready()
        scene.fakes[0].behaviour = None
        await scene.until(lambda: scene.log.published.size == 1)
        assert scene.quorum.held() is None
        assert scene.quorum.why_not_ready() == ""
        assert {pair for pair in scene.quorum.counts if pair[1] != "conflict"} == {("w0", outcome), ("w0", "cosigned")}

    play(tmp_path, event, 1, 1, scenario, behaviours=[behaviour])


def test_an_answer_that_comes_in_parts_is_read_whole(tmp_path: Path, event: Event) -> None:
    async def in_parts(fake: Fake, body: bytes) -> web.Response:
        answer = fake.witness.add_checkpoint(body, NOW)

        async def parts() -> AsyncIterator[bytes]:
            for place in range(0, len(answer.body), 20):
                yield answer.body[place : place + 20].encode()
                await asyncio.sleep(0.01)  # each is sent by itself

        return web.Response(body=parts(), status=answer.verdict.value)

    async def scenario(scene: Scene) -> None:
        (fake,) = scene.fakes
        fake.behaviour = partial(in_parts, fake)
        await scene.until(lambda: scene.log.published.size == 1)
        assert scene.quorum.counts.keys() <= {("w0", "cosigned"), ("w0", "conflict")}

    play(tmp_path, event, 1, 1, scenario)


def test_a_witness_that_has_seen_more_stops_the_ledger_before_anything_is_signed(tmp_path: Path, event: Event) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.quorum.why_not_ready()) and scene.quorum.held() is not None)
        await scene.until(lambda: "older than the log" in scene.quorum.why_not_ready())
        held = scene.quorum.held()
        assert held is not None
        assert held.reason.label == "log_superseded"
        shown = [open_checkpoint(asked.note, LOG.verifier).size for fake in scene.fakes for asked in fake.asked]
        assert set(shown) == {0}, "it asked with the empty tree, since nothing is published"

    play(tmp_path, event, 2, 2, scenario, behaviours=[said(409, "7\n", **{"Content-Type": SIZE_TYPE}), said(404)])


def test_a_witness_that_says_another_size_each_time_is_asked_a_bounded_number_of_times(
    tmp_path: Path, event: Event
) -> None:
    sizes = itertools.cycle(["0\n", "1\n"])

    async def changing(_: bytes) -> web.Response:
        return web.Response(text=next(sizes), status=409)

    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: scene.quorum.counts["w0", "conflict"] >= 4)
        assert scene.quorum.counts["w0", "conflict"] < 20
        assert scene.log.published.size == 0

    play(tmp_path, event, 1, 1, scenario, behaviours=[changing])


@pytest.mark.parametrize(
    ("required", "answering", "enough"), [(1, 2, False), (1, 3, True), (2, 1, False), (2, 2, True)]
)
def test_at_the_start_as_many_are_asked_as_any_quorum_has_one_of(
    tmp_path: Path, event: Event, required: int, answering: int, *, enough: bool
) -> None:
    async def scenario(scene: Scene) -> None:
        if enough:
            await scene.until(lambda: scene.quorum.held() is None)
            await scene.until(lambda: scene.log.published.size == 1)
            return
        await scene.until(lambda: scene.quorum.counts["w2", "unknown_log"] >= 3)
        assert scene.quorum.held() is not None
        signed = {open_checkpoint(asked.note, LOG.verifier).size for fake in scene.fakes for asked in fake.asked}
        assert signed == {0}, "what is committed is not signed yet"

    away = said(404)
    play(
        tmp_path, event, 3, required, scenario,
        behaviours=[None if number < answering else away for number in range(3)],
    )  # fmt: skip


def test_witnesses_that_come_back_at_different_times_meet_on_one_state(tmp_path: Path, event: Event) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: scene.log.published.size == 1)
        first, second = scene.fakes
        second.behaviour = said(500)
        scene.append(b"1")
        await scene.until(lambda: len(first.witness.sizes) == 1 and first.witness.sizes[LOG.name] == 2)
        for number in range(5):
            scene.append(b"more %d" % number)
        first.behaviour, second.behaviour = said(500), None
        await scene.until(lambda: scene.log.published.size == 2)
        assert scene.cosigned_by() == {"w0", "w1"}, "what the first had cosigned before it went"
        first.behaviour = None
        await scene.until(lambda: scene.log.published.size == 7)
        assert scene.published == [1, 2, 7]

    play(tmp_path, event, 2, 2, scenario)


def test_cosignatures_beyond_the_quorum_are_added_as_they_come(tmp_path: Path, event: Event) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: scene.log.published.size == 1)
        assert scene.cosigned_by() == {"w0", "w1"}
        scene.fakes[2].behaviour = None
        await scene.until(lambda: scene.cosigned_by() == {"w0", "w1", "w2"})

    play(tmp_path, event, 3, 2, scenario, behaviours=[None, None, said(500)])


def test_it_is_known_when_each_witness_cosigned_last_and_when_the_quorum_was_complete(
    tmp_path: Path, event: Event
) -> None:
    async def scenario(scene: Scene) -> None:
        first, second, third = scene.fakes
        first.now, second.now = NOW + 5, NOW + 3
        await scene.until(lambda: scene.quorum.cosigned_s == NOW + 5)
        assert scene.quorum.by_witness_s == {"w0": NOW + 5, "w1": NOW + 3}
        # The third adds its word to a quorum that was complete before.
        third.now, third.behaviour = NOW + 9, None
        await scene.until(lambda: len(scene.cosigned_by()) == 3)
        assert (scene.quorum.cosigned_s, scene.quorum.by_witness_s["w2"]) == (NOW + 5, NOW + 9)
        second.behaviour = third.behaviour = said(500)
        first.now = NOW + 60
        scene.append(b"1")
        await scene.until(lambda: scene.quorum.by_witness_s["w0"] == NOW + 60)
        assert scene.quorum.cosigned_s == NOW + 5, "one is no quorum"

    async def after_a_restart(scene: Scene) -> None:
        await scene.until(lambda: scene.quorum.counts["w0", "unreachable"] > 0)
        assert scene.quorum.cosigned_s == NOW + 5
        assert scene.quorum.by_witness_s == {"w0": NOW + 5, "w1": NOW + 3, "w2": NOW + 9}

    play(tmp_path, event, 3, 2, scenario, behaviours=[None, None, said(500)])
    play(tmp_path, event, 3, 2, after_a_restart, behaviours=[said(500)] * 3)


def test_a_fork_is_noticed_and_the_ledger_stops(tmp_path: Path, event: Event) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.until(lambda: "another history" in scene.quorum.why_not_ready())
        assert scene.log.published.size == 0
        assert scene.quorum.counts["w0", "inconsistent"] == 1

    with (
        Witness(tmp_path / "w0", Fake(0, tmp_path / "made").signer, lambda _: [LOG.verifier]) as witness,
        Log.open(tmp_path / "other", LOG) as other,
    ):
        other.append([b"another beginning"])
        request = AddCheckpoint(0, (), other.checkpoint_note)
        assert witness.add_checkpoint(request.encode(), NOW).verdict is Verdict.COSIGNED
    play(tmp_path, event, 1, 1, scenario, before=[b"leaf 0", b"1"])


def test_a_log_begins_only_when_its_witnesses_have_answered(tmp_path: Path, event: Event) -> None:
    """What `ask_before_leaf_0` asks, on an empty log: silence is no answer."""

    async def run(behaviour: Behaviour | None) -> None:
        async with AsyncExitStack() as stack:
            fake = Fake(0, tmp_path / ("good" if behaviour is None else "bad"))
            fake.behaviour = behaviour
            stack.callback(fake.witness.close)
            await fake.serve(stack)
            log = stack.enter_context(Log.open(fake.folder / "log", LOG, withhold=True))
            named = replace(event, witnesses=(fake.named,), required_witnesses=1)
            quorum = WitnessQuorum(
                named, log, LOG.verifier, lambda note: asyncio.to_thread(log.publish, note), asyncio.to_thread
            )
            await quorum.confirm(PATIENCE_S)

    asyncio.run(run(None))
    with pytest.raises(WitnessesError, match="w0: unknown_log: 404 no"):
        asyncio.run(run(said(404)))
