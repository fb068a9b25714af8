"""Keys of an event rotated under real processes, in the order and by the commands of docs/keys.md."""

import asyncio
import signal
from pathlib import Path

from redis import Redis

from counters.live import RegistryUnavailableError
from counters.registry import SeatRegistry
from counters.secrets import ORGANISER, SCANNER, VIEWING_TOKEN, Secrets, load_or_create_secrets, rotate
from deploy.embedded_redis import EmbeddedRedis
from gateway.development_issuer import FOLDER, DevelopmentIssuer
from tests.faults.test_steering_survives import PRESENT, Gateway, event_file, gateway
from tests.gateway.commands import CERTAIN_S, turnout
from tests.gateway.conftest import redis
from tests.gateway.serving import NOW, Answer, ask, ledger, until

__all__ = ["event_file", "redis"]

STEERING = "/v1/events/expo/steering"


def scans(at: Gateway, secrets: Secrets) -> bool:
    """Whether a scanner with these secrets' key is let in; what it sends then is no batch."""
    who = {"Authorization": f"Bearer {secrets.scanner_key}"}
    answer = ask(at.port, "POST", "/v1/events/expo/checkins", b"{}", who)
    assert answer.reason in {"body_malformed", "key_wrong"}
    return answer.reason == "body_malformed"


def test_scanner_and_viewing_tokens_keys_are_rotated_without_a_refusal_and_then_withdrawn(
    event_file: Path, tmp_path: Path
) -> None:
    data = tmp_path / "turnout-data"
    file = data / "secrets.json"

    with ledger(event_file, data) as running:
        running.jump(NOW)
        with gateway(event_file, data, running.url) as served:
            first = served.secrets
            made = turnout("rotate-key", "scanner", "--secrets", file, cwd=tmp_path)
            new = rotate(file, VIEWING_TOKEN, withdraw=False)
            assert f"the scanner key is {new.scanner_key}" in made.stdout, made.stderr
            token, ticket = served.token(PRESENT), DevelopmentIssuer.load(tmp_path / FOLDER, "tickets")
            assert scans(served, first)
            assert scans(served, new), "workers that were not told yet take what is given out already"
            assert served.beat(PRESENT).status == 204
            rotate(file, SCANNER, withdraw=True)
            told = turnout("rotate-key", "viewing-token", "--withdraw", "--secrets", file, cwd=tmp_path)
            assert "send each gateway SIGHUP, and restart the ledger" in told.stdout, told.stderr
            assert scans(served, first), "who is not told goes on as before"
            served.process.send_signal(signal.SIGHUP)
            until(lambda: served.beat(PRESENT).status == 410, "the old token is refused", CERTAIN_S)
            assert served.beat(PRESENT).reason == "token_revoked"
            assert (scans(served, first), scans(served, new)) == (False, True)

            def join(shown: str) -> Answer:
                path = "/v1/events/expo/sessions/opening/join"
                return ask(served.port, "POST", path, headers={"Authorization": f"Bearer {shown}"})

            assert join(token).reason == "token_revoked", "nor does it open another session"
            again = join(ticket.mint(served.event.issuers[0], "anna", now=NOW))
            assert again.status == 201, again
            beat = ("POST", "/v1/beat", again.json["token"].encode(), {"Content-Type": "text/plain"})
            assert ask(served.port, *beat).status == 204


def test_the_organiser_key_is_another_from_the_ledgers_next_start_on(event_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "turnout-data" / "secrets.json"
    first = load_or_create_secrets(file)
    told = turnout("rotate-key", "organiser", cwd=tmp_path)
    new = rotate(file, ORGANISER, withdraw=True)
    assert f"the organiser key is {new.organiser_key}" in told.stdout, told.stderr
    with ledger(event_file, file.parent) as running:
        answers = [running.ask("GET", STEERING, b"", {"Authorization": f"Bearer {secrets.organiser_key}"})
                   for secrets in (new, first)]  # fmt: skip
    assert (answers[0].status, answers[1].status, answers[1].reason) == (200, 403, "key_wrong")


def test_redis_gets_another_password_and_open_connections_stay(redis: EmbeddedRedis) -> None:
    """Both are good for a while: time enough for a gateway with the new one to take over from one with the old."""

    def acl(password: str, rule: str) -> None:
        with Redis(unix_socket_path=str(redis.socket), password=password or None) as operator:
            assert operator.execute_command("ACL", "SETUSER", "default", *rule.split())

    async def held(registry: SeatRegistry) -> int | None:
        """The seat of somebody; None if the server does not let in who asks."""
        try:
            return await registry.get(b"a" * 16)
        except RegistryUnavailableError:
            return None

    async def once(password: str) -> int | None:
        async with SeatRegistry(f"{redis.url}?password={password}", "expo", CERTAIN_S) as registry:
            return await held(registry)

    async def rotate() -> None:
        acl("", "resetpass >old")
        async with SeatRegistry(f"{redis.url}?password=old", "expo", CERTAIN_S) as running:
            assert await running.claim(b"a" * 16, 7) == 7
            assert (await once("old"), await once("new")) == (7, None)
            acl("old", ">new")
            assert (await once("old"), await once("new")) == (7, 7)
            acl("new", "<old")
            assert (await once("old"), await once("new")) == (None, 7)
            assert await held(running) == 7, "a connection that is logged in stays"
        acl("new", "nopass")

    asyncio.run(rotate())
