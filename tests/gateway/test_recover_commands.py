"""`turnout recover` and `turnout forget` as they are asked: which Redis, and with which password.

What they do: tests/faults/test_redis_lost.py, tests/end_to_end.
"""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway import recover
from gateway.cli import main

REGISTRY, LIVE = "redis://turnout@registry.internal", "redis://live.internal:6380"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The URLs of registry and live Redis that it was told."""
    urls: list[tuple[str, str]] = []

    def noted(_event: object, _data: Path, registry: str, live: str, **_: Any) -> None:
        urls.append((registry, live))

    monkeypatch.setattr(recover, "recover_event", noted)
    return urls


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("p@ss\n")
    return str(tmp_path / "password")


def test_its_passwords_come_from_files(asked: list[tuple[str, str]], event_file: Path, secret: str) -> None:
    def run(*options: str) -> None:
        done = CliRunner().invoke(main, ["recover", str(event_file), "--redis", REGISTRY, *options])
        assert done.exit_code == 0, done.output

    run()
    run("--redis-password-file", secret)
    run("--live-redis", LIVE)
    run("--live-redis", LIVE, "--live-redis-password-file", secret)
    with_password = "redis://turnout:p%40ss@registry.internal"
    assert asked == [
        (REGISTRY, REGISTRY),
        (with_password, with_password),
        (REGISTRY, LIVE),
        (REGISTRY, "redis://:p%40ss@live.internal:6380"),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--redis", "redis://:x@h", "--redis-password-file", "FILE"), "has a password already"),
        (("--redis", REGISTRY, "--live-redis-password-file", "FILE"), "is for --live-redis, which is not given"),
        (("--redis", REGISTRY, "--redis-password-file", "hunter2"), "Name the file that holds the secret"),
    ],
)
def test_a_password_that_it_cannot_take_is_told_in_one_sentence(
    options: tuple[str, ...], words: str, asked: list[tuple[str, str]], event_file: Path, secret: str
) -> None:
    told = [secret if each == "FILE" else each for each in options]
    done = CliRunner().invoke(main, ["recover", str(event_file), *told])
    assert (done.exit_code, asked) == (2, [])
    assert words in " ".join(done.output.split())
    assert "hunter2" not in done.output


def test_forget_takes_the_password_likewise(event_file: Path, secret: str) -> None:
    def said(*options: str) -> str:
        done = CliRunner().invoke(main, ["forget", str(event_file), "--subject", "alice", *options])
        assert done.exit_code == 2
        return " ".join(done.output.split())

    assert "has a password already" in said("--redis", "redis://:x@h", "--redis-password-file", secret)
    assert "--redis-password-file" in said("--redis-password-file", secret)
    assert "secrets.json" in said("--redis", REGISTRY, "--redis-password-file", secret)  # which is not there
