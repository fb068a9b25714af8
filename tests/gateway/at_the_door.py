"""Requests of players at the door, and what they have done to the worker behind it."""

from tests.gateway.serving import Answer, Serving, request_bytes


def beat(served: Serving, body: bytes | None = None, path: str = "/v1/beat", **headers: str) -> bytes:
    body = served.token().encode() if body is None else body
    return request_bytes("POST", path, body, {n.replace("_", "-"): value for n, value in headers.items()})


def went_through_the_door(answer: Answer) -> bool:
    return answer.headers.get("connection") != "close"


class Effect:
    """What requests have done to a worker since this was made."""

    def __init__(self, served: Serving) -> None:
        self.served = served
        self.counts = served.counts()
        self.records = len(served.records())

    def __call__(self) -> tuple[list[int], dict[str, int]]:
        counts = self.served.counts()
        return (
            self.served.records()[self.records :],
            {name: n for name in counts if (n := counts[name] - self.counts.get(name, 0))},
        )


JOIN = "/v1/events/expo/sessions/opening/join"


def join_request(credential: str, path: str = JOIN, **headers: str) -> bytes:
    named = {n.replace("_", "-"): value for n, value in headers.items()}
    return request_bytes("POST", path, b"", {"Authorization": f"Bearer {credential}"} | named)
