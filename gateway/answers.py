"""The door's answers as bytes: made once a second, when their date changes, and given many thousand times."""

import random
from collections.abc import Iterator
from email.utils import formatdate
from functools import cache
from http import HTTPStatus
from itertools import cycle, islice
from typing import Any, Final

import orjson

from gateway.announcement import Announcement
from gateway.problems import CORS, PREFLIGHT
from gateway.reasons import Reason, retry_after_s
from metrics.catalogue import HEARTBEATS_A_SAMPLE

JITTER: Final = 10
"""Announced intervals differ from the event's by at most one part in so many, but by a second at least: players that
began together drift apart."""


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


_CORS: Final = _lines(CORS)


def announced(interval_s: int) -> range:
    """Return the intervals that are announced in turn: whole seconds within ± 10 % of the event's, or ± 1 s."""
    reach = max(1, interval_s // JITTER)
    return range(interval_s - reach, interval_s + reach + 1)


def _answer(status: int, lines: bytes, content_type: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %d %b\r\n%bContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (status, HTTPStatus(status).phrase.encode(), lines, content_type, len(body)) + body


@cache
def _problem_body(reason: Reason) -> bytes:
    return orjson.dumps(reason.problem())


class Answers:
    """The answers of one worker."""

    accepted: Iterator[bytes]
    """A round of 204, which take turns among the intervals of `announced`. It ends: what is done once in so many
    heartbeats costs the others nothing."""

    def __init__(self, announcement: Announcement) -> None:
        """Say what `announcement` says in every answer."""
        self._announcement = announcement
        self._last = b""
        self._round: list[bytes] = []
        self.accepted = iter(self._round)
        self.refresh(0)

    def take_leave(self) -> None:
        """From now on say in every answer that it is the last one on its connection."""
        self._last = b"Connection: close\r\n"
        self.refresh(self._refreshed_at)

    def refresh(self, now: float) -> None:
        """Put the current date (unix seconds) and interval into the answers."""
        self._refreshed_at = now
        self._moment = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode() + self._last
        intervals = list(announced(self._announcement.interval_s))
        # Another order each second: two players that always ask one after the other still drift apart.
        random.shuffle(intervals)
        accepted = [
            b"HTTP/1.1 204 No Content\r\n" + self._heartbeat_lines(interval_s) + b"\r\n" for interval_s in intervals
        ]
        # In place: a round that is under way goes on.
        self._round[:] = islice(cycle(accepted), HEARTBEATS_A_SAMPLE)
        self._refused: dict[Reason, bytes] = {}
        self.preflight = b"HTTP/1.1 204 No Content\r\n" + _lines(CORS | PREFLIGHT) + self._moment + b"\r\n"

    def another_round(self) -> bytes:
        """Begin a round of `accepted` when one has ended, and return the first of it."""
        self.accepted = iter(self._round)
        return next(self.accepted)

    def _heartbeat_lines(self, interval_s: int) -> bytes:
        return _CORS + b"Turnout-Interval: %d\r\n" % interval_s + self._moment

    def refused(self, reason: Reason) -> bytes:
        """Return the refusal of a heartbeat or leave."""
        if reason not in self._refused:
            self._refused[reason] = self._problem(
                reason, self._heartbeat_lines(self._announcement.interval_s), retry_after_s()
            )
        return self._refused[reason]

    def given_up(self) -> bytes:
        """Return the last answer to who does not send the rest of a request."""
        lines = self._heartbeat_lines(self._announcement.interval_s)
        if not self._last:
            lines += b"Connection: close\r\n"
        return self._problem(Reason.REQUEST_TIMEOUT, lines)

    def join_refused(self, reason: Reason, detail: str, retry_s: int) -> bytes:
        """Return the refusal of a join; `retry_s` is said where trying again helps."""
        return self._problem(reason, _CORS + self._moment, retry_s, detail)

    def batch(self, status: int, body: bytes) -> bytes:
        """Return the answer to a relay's batch, whose status and body gateway.relay_batches gives."""
        lines = self._heartbeat_lines(self._announcement.interval_s)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            lines += b"Retry-After: %d\r\n" % retry_after_s()
        content_type = b"application/json" if status == HTTPStatus.OK else b"application/problem+json"
        return _answer(status, lines, content_type, body)

    def created(self, document: dict[str, Any]) -> bytes:
        """Return the answer that grants a view."""
        return _answer(HTTPStatus.CREATED, _CORS + self._moment, b"application/json", orjson.dumps(document))

    @staticmethod
    def _problem(reason: Reason, lines: bytes, retry_s: int = 0, detail: str = "") -> bytes:
        body = orjson.dumps(reason.problem(detail)) if detail else _problem_body(reason)
        retry = b"Retry-After: %d\r\n" % retry_s if reason.status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        return _answer(reason.status, lines + retry, b"application/problem+json", body)
