"""What a process tells those who run it: /metrics, /healthz and /readyz, on a port of their own."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from counters.countries import COUNTRIES
from counters.event import Event
from counters.software import VERSION
from gateway.reasons import Reason
from metrics import exposition
from metrics.readings import Identity, Snapshot


def vocabulary_of(event: Event, workers: int = 0) -> exposition.Vocabulary:
    """Return the closed sets of an event's labels, for a gateway of so many workers."""
    return exposition.Vocabulary(
        tuple(session.id for session in event.sessions),
        tuple(reason.label for reason in Reason),
        tuple(witness.name for witness in event.witnesses),
        tuple(map(str, range(workers))),
        COUNTRIES,
    )


def identity_of(event: Event) -> Identity:
    """Return what a process that serves an event is."""
    sessions = {one.id: (one.starts_at.timestamp(), one.ends_at.timestamp()) for one in event.sessions}
    return Identity(VERSION, event.id, event.simulated, sessions)


def operations(
    vocabulary: exposition.Vocabulary,
    snapshot: Callable[[], Awaitable[Snapshot]],
    missing: Callable[[], str] = str,
) -> web.Application:
    """Return the application of an operations port.

    Args:
        vocabulary: the closed sets of the labels.
        snapshot: returns what /metrics shows.
        missing: returns why the process does not do its work, in one line; "" if it does.
    """

    async def metrics(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's handler
        body, content_type = exposition.render(await snapshot(), vocabulary, process=True)
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), *probes(missing)])
    return app


def probes(missing: Callable[[], str] = str) -> Iterable[web.RouteDef]:
    """Return /healthz, which says that the process lives, and /readyz, which says whether it does its work."""

    async def healthz(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.Response(text="ok\n")

    async def readyz(request: web.Request) -> web.Response:  # noqa: ARG001
        cause = missing()
        return web.Response(text=(cause or "ready") + "\n", status=503 if cause else 200)

    return web.get("/healthz", healthz, name="healthz"), web.get("/readyz", readyz, name="readyz")
