"""The others: the event's witnesses, and the keys that issuers publish now."""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from counters.event import Event, Issuer, WitnessOfEvent
from counters.issuer_keys import JWKS_LIMIT_BYTES, IssuerKeyError, public_key, read_jwks, thumbprint
from gateway.bounded_body import read_at_most
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.quantity import quantity

TIMEOUT: Final = aiohttp.ClientTimeout(total=5, sock_connect=3)
_DISCOVERY: Final = "/.well-known/openid-configuration"


class IssuerAwayError(Exception):
    """What an issuer publishes cannot be had."""


# Witnesses.


async def witnesses(event: Event) -> list[Finding]:
    """Ask every witness of the event whether it is there."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        away = await asyncio.gather(*(_away(witness, session) for witness in event.witnesses))
    return judge_witnesses(event.required_witnesses, dict(zip((w.name for w in event.witnesses), away, strict=True)))


async def _away(witness: WitnessOfEvent, session: aiohttp.ClientSession) -> str:
    """Why a witness cannot be reached; "" if something answers there: it need not have a page for us."""
    if not witness.url:
        return "the event file has no url for it"
    try:
        async with session.get(witness.url, allow_redirects=False) as answer:
            return f"it answers {answer.status}" if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return str(error) or type(error).__name__


def judge_witnesses(required: int, away: Mapping[str, str]) -> list[Finding]:
    """Judge the witnesses of an event by why each is away; "" = it is not."""
    if not away:
        return [warn("witnesses", "the event has none: a log written anew could not be told from the true one",
                     "Ask somebody outside to run `turnout witness` (docs/witnesses.md).")]  # fmt: skip
    there = sum(not why for why in away.values())
    verdict = fail if there < required else warn
    found = [
        verdict(f"witness {name}", why, f"{there} of {required} required ones answer: ask who operates it.")
        if why
        else ok(f"witness {name}", "answers")
        for name, why in away.items()
    ]
    if required == len(away):
        said = f"required_witnesses is {required}, and the event names {quantity(len(away), 'witness')}"
        found.append(
            warn("required witnesses", f"{said}: while a single one is away, nothing is published or certified",
                 "Name one witness more than are required, or require one fewer, before the log begins.")
        )  # fmt: skip
    return found


# Issuers.


async def issuers(event: Event) -> list[Finding]:
    """Ask each issuer that has an address which keys it publishes now, and compare them with the event file's.

    An event needs none of them to be reachable: what it accepts is locked in its file.
    """
    with_address = [issuer for issuer in event.issuers if not issuer.development and _address(issuer)]
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        return [finding for issuer in with_address for finding in [await _compared(issuer, session)]]


def _address(issuer: Issuer) -> str:
    parts = urlsplit(issuer.issuer)
    return issuer.issuer.rstrip("/") if parts.scheme in {"https", "http"} and parts.netloc else ""


async def _compared(issuer: Issuer, session: aiohttp.ClientSession) -> Finding:
    try:
        published = await _published(_address(issuer), session)
    except IssuerAwayError as error:
        return warn(f"issuer {issuer.id}: published keys", f"not to be had: {error}",
                    "Ask the issuer whether it still signs with the keys of the event file.")  # fmt: skip
    return judge_keys(issuer, published)


async def _published(address: str, session: aiohttp.ClientSession) -> list[Any]:
    """Return the JWK set that OpenID Connect Discovery 1.0 §4 leads to."""
    document = orjson.loads(await _get(address + _DISCOVERY, session))
    if not isinstance(document, dict) or not str(document.get("jwks_uri", "")).startswith(("https://", "http://")):
        raise IssuerAwayError(f"{_DISCOVERY} names no jwks_uri")
    try:
        return read_jwks(await _get(str(document["jwks_uri"]), session))
    except IssuerKeyError as error:
        raise IssuerAwayError(str(error)) from None


async def _get(url: str, session: aiohttp.ClientSession) -> bytes:
    try:
        async with session.get(url) as answer:
            if answer.status != HTTPStatus.OK:
                raise IssuerAwayError(f"{url} answers {answer.status}")
            return await read_at_most(answer.content, JWKS_LIMIT_BYTES)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise IssuerAwayError(f"{url}: {error or type(error).__name__}") from None


def judge_keys(issuer: Issuer, published: Sequence[Any]) -> Finding:
    """Judge what an issuer publishes by what the event file has."""
    check = f"issuer {issuer.id}: published keys"
    known = {thumbprint(key) for key in issuer.keys}
    found = set()
    for jwk in published:
        try:
            found.add(thumbprint(public_key(jwk, issuer.algorithms)))
        except IssuerKeyError:
            continue  # for encryption, or of an algorithm that the event does not take
    if fresh := found - known:
        return warn(check, f"{len(fresh)} of {len(found)} are not in the event file: their tickets are refused",
                    "Before the event save the set anew; during it add them with turnout issuer-key (docs/keys.md), "
                    "if that is not done.")  # fmt: skip
    if not found:
        return warn(check, "none that the event's algorithms allow", "See that `issuer` and `algorithms` are right.")
    return ok(check, f"all {len(found)} are in the event file")
