"""The batches bench: every batch is answered in full or the run fails, and the experiment runs from end to end."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from click.testing import CliRunner

from load_tests.bench.__main__ import main
from load_tests.bench.batches import SINGLE, SIZES, Turn, bodies, markdown, request, send, summarise, verdict
from load_tests.http_client import Address, UnexpectedAnswerError

Stub = Callable[[Callable[[bytes], bytes]], AbstractAsyncContextManager[tuple[Address, list[bytes]]]]
Run = Callable[[Callable[[], Awaitable[None]]], None]

TURNS = [
    Turn(SINGLE, cpu_us=10.0, heartbeats_a_second=50_000, busy=0.5, heartbeats=100),
    Turn(1000, cpu_us=1.0, heartbeats_a_second=400_000, busy=0.4, heartbeats=2000),
    Turn(1000, cpu_us=2.0, heartbeats_a_second=300_000, busy=0.4, heartbeats=2000),
    Turn(1000, cpu_us=1.5, heartbeats_a_second=200_000, busy=0.4, heartbeats=2000),
]


def test_the_batches_of_a_size_hold_every_token_equally_often() -> None:
    tokens = [f"token-{number}" for number in range(40)]
    for lines in (1, 10, 40):
        batches = [body.decode().split("\n") for body in bodies(tokens, lines)]
        assert {len(batch) for batch in batches} == {lines}
        assert Counter(token for batch in batches for token in batch) == dict.fromkeys(tokens, 1)
    assert bodies(tokens[:4], 10) == ["\n".join(tokens[:4] * 2 + tokens[:2]).encode()]


@pytest.mark.parametrize(
    ("document", "sound"),
    [({"accepted": 3, "refused": []}, True), ({"accepted": 2, "refused": []}, False),
     ({"accepted": 2, "refused": [{"line": 1, "reason": "token_expired"}]}, False)],
)  # fmt: skip
def test_a_batch_that_was_not_accepted_in_full_ends_the_run(
    stub: Stub, run: Run, document: dict[str, object], sound: bool
) -> None:
    body = json.dumps(document).encode()

    async def scenario() -> None:
        async with stub(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as (
            at,
            asked,
        ):
            await asyncio.to_thread(send, at, [request(b"a\nb\nc")] * 20, 3)
            assert len(asked) == 20

    if sound:
        run(scenario)
    else:
        with pytest.raises(UnexpectedAnswerError):
            run(scenario)


def test_the_table_compares_medians_with_single_heartbeats() -> None:
    summaries = summarise(TURNS)
    assert [one.lines for one in summaries] == [SINGLE, 1000]
    line = "| 1,000 in a batch | 1.50 µs (1.00 to 2.00) | 666,667 | 6.7 × | 300,000 | 40% | 6,000 |"
    assert line in markdown(summaries)
    assert verdict(summaries).endswith("666,667 with 1,000 in a batch, reached")
    assert verdict(summarise(TURNS[:1])).endswith("NOT REACHED")


def test_the_experiment_runs_from_end_to_end(needed: Callable[[str], str]) -> None:
    needed("wrk")
    arguments = ["batches", "--rounds", "1", "--seconds", "1", "--heartbeats", "40000", "--tokens", "50"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    for size in SIZES:
        assert f"| {size:,} in a batch |" in done.output
