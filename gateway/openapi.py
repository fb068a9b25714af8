"""The OpenAPI document of the HTTP interface, served at /v1/openapi.json."""

from typing import Any, Final

from counters.corrections import REASON_LIMIT_CHARS
from counters.event_keys import LONGEST_INTERVAL_S, SHORTEST_INTERVAL_S
from counters.scope_keys import SMALL_SCOPES
from counters.software import VERSION
from gateway.heartbeats import REFUSALS
from gateway.reasons import Reason
from gateway.relay_batches import BATCH_BYTES, LINES

_JSON: Final = "application/json"


def _answer(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {} if schema is None else {"content": {_JSON: {"schema": schema}}}
    return {"description": description, **content}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _path(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _body(content_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {content_type: {"schema": schema}}}


_TEXT: Final = {"type": "string"}
_PROBLEM: Final = {
    "description": "Refused; `reason` says why.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SCAN: Final = {
    "type": "object",
    "properties": {
        "nonce": _TEXT,
        "badge": _TEXT | {"description": "the issuer's JWT on the badge"},
        "gate": _TEXT,
        "direction": {"enum": ["in", "out"]},
        "scanned_at": {"type": "string", "format": "date-time"},
        "force": {"type": "boolean"},
    },
    "required": ["nonce", "badge", "gate", "direction", "scanned_at"],
}
_OUTCOMES: Final = {"type": "array", "items": _object(nonce=_TEXT, outcome={"enum": ["accepted", "refused"]})}
_REVOKED: Final = _object(
    seats={"type": "array", "items": {"type": "integer"}}, views={"type": "array", "items": _TEXT}
)
_NAMED: Final = {
    "type": "array",
    "items": {
        "oneOf": [
            _object(token=_TEXT | {"description": "a viewing token: its view"}),
            _object(seat={"type": "integer"}),
            _object(view=_TEXT | {"pattern": "^[0-9a-f]{16}$"}),
        ]
    },
}
_REASON: Final = _TEXT | {"minLength": 1, "maxLength": REASON_LIMIT_CHARS}
_THUMBPRINT: Final = _TEXT | {"description": "RFC 7638: base64url of SHA-256"}
_TIME_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
_ISSUER_KEY: Final = _object(
    thumbprint=_THUMBPRINT, kid={"type": ["string", "null"]}, algorithm=_TEXT, added_at=_TIME_OR_NULL,
    retired_at=_TIME_OR_NULL,
)  # fmt: skip
_ISSUER_KEYS: Final = _object(
    event=_TEXT, number={"type": "integer"},
    issuers={"type": "array", "items": _object(id=_TEXT, keys={"type": "array", "items": _ISSUER_KEY})},
)  # fmt: skip
_IN_FORCE: Final = _object(
    event=_TEXT,
    number={"type": "integer", "description": "of the change in the log that brought it; 0 = the event file"},
    interval_s={"type": "integer"},
    revoked=_REVOKED,
    revoked_limit={"type": "integer"},
)
_COUNT: Final = {"type": "integer", "minimum": 0}
_REFUSED_LINES: Final = {
    "type": "array",
    "items": _object(
        line=_COUNT | {"description": "counted from 0"}, reason={"enum": sorted(reason.label for reason in REFUSALS)}
    ),
}
_BOUNDS: Final = {
    "type": "array",
    "items": {"type": ["number", "null"]},
    "description": "[least, most] that the number may truly be; most is null if nothing bounds it (docs/gaps.md)",
}
_NUMBERS: Final = _object(
    event=_TEXT,
    as_of={"type": ["string", "null"]},
    stale={"type": "boolean"},
    numbers={
        "type": "array",
        "items": {"type": "object", "properties": {"bounds": _BOUNDS, "bounds_with_gaps": _BOUNDS}},
    },
)
_CERTIFICATES: Final = _object(
    event=_TEXT,
    certificates={
        "type": "array",
        "items": _object(id=_COUNT, superseded_by={"type": ["integer", "null"]}),
    },
    computing={
        "type": ["object", "null"],
        "properties": {"leaves": _COUNT, "of": _COUNT},
        "description": "how many leaves have been read for the certificate that is being computed",
    },
)

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "Turnout", "version": VERSION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
    "paths": {
        "/v1/events/{event}/sessions/{session}/join": {
            "post": {
                "summary": "Open a view of a session, or renew the one that a viewing token names.",
                "parameters": [
                    *_path("event", "session"),
                    {"name": "outlet", "in": "query", "schema": _TEXT, "description": "media outlet that embeds"},
                ],
                "security": [{"ticket": []}],
                "responses": {
                    "201": _answer(
                        "The view is open.",
                        _object(token=_TEXT, beat_url=_TEXT, interval_s={"type": "integer"}, expires_at=_TEXT),
                    ),
                    "default": _PROBLEM,
                },
            }
        },
        "/v1/beat": {
            "post": {
                "summary": "Still playing (or, with a state letter, b in the background, a paused, e ended).",
                "requestBody": _body("text/plain", _TEXT | {"pattern": "^[A-Za-z0-9_-]{64}( [pbae])?$"}),
                "responses": {"204": _answer("Recorded."), "default": _PROBLEM},
            }
        },
        "/v1/beats": {
            "post": {
                "summary": "Heartbeats that a relay has collected, one a line, each as /v1/beat takes it.",
                "requestBody": _body(
                    "text/plain", _TEXT | {"description": f"at most {LINES} lines", "maxLength": BATCH_BYTES}
                ),
                "responses": {
                    "200": _answer("What became of each line.", _object(accepted=_COUNT, refused=_REFUSED_LINES)),
                    "default": _PROBLEM,
                },
            }
        },
        "/v1/leave": {
            "post": {
                "summary": "The view ends: a courtesy, silence ends it as well.",
                "requestBody": _body("text/plain", _TEXT | {"pattern": "^[A-Za-z0-9_-]{64}$"}),
                "responses": {"204": _answer("Noted."), "default": _PROBLEM},
            }
        },
        "/v1/events/{event}/checkins": {
            "post": {
                "summary": "A batch of badge scans, idempotent by gate and nonce.",
                "parameters": _path("event"),
                "security": [{"scanner": []}],
                "requestBody": _body(_JSON, _object(scans={"type": "array", "maxItems": 500, "items": _SCAN})),
                "responses": {
                    "200": _answer("An outcome for each scan.", _object(outcomes=_OUTCOMES)),
                    "default": _PROBLEM,
                },
            }
        },
        "/v1/events/{event}/live": {
            "get": {
                "summary": "Live estimates.",
                "parameters": _path("event"),
                "responses": {"200": _answer("Estimates with age and error.", _NUMBERS), "default": _PROBLEM},
            }
        },
        "/v1/events/{event}/steering": {
            "get": {
                "summary": "The heartbeat interval and the revocations in force.",
                "parameters": _path("event"),
                "security": [{"organiser": []}],
                "responses": {"200": _answer("In force.", _IN_FORCE), "default": _PROBLEM},
            },
            "post": {
                "summary": "Change the heartbeat interval; revoke or restore viewing tokens and seats.",
                "parameters": _path("event"),
                "security": [{"organiser": []}],
                "requestBody": _body(
                    _JSON,
                    {
                        "type": "object",
                        "properties": {
                            "interval_s": {
                                "type": "integer",
                                "minimum": SHORTEST_INTERVAL_S,
                                "maximum": LONGEST_INTERVAL_S,
                            },
                            "revoke": _NAMED,
                            "restore": _NAMED,
                        },
                        "minProperties": 1,
                    },
                ),
                "responses": {"200": _answer("In force, and in the log.", _IN_FORCE), "default": _PROBLEM},
            },
        },
        "/v1/events/{event}/issuer-keys": {
            "get": {
                "summary": "The keys of issuers: those in force, and those that were.",
                "parameters": _path("event"),
                "security": [{"organiser": []}],
                "responses": {"200": _answer("All keys.", _ISSUER_KEYS), "default": _PROBLEM},
            },
            "post": {
                "summary": "Add a key of an issuer, or retire one.",
                "parameters": _path("event"),
                "security": [{"organiser": []}],
                "requestBody": _body(
                    _JSON,
                    {
                        "oneOf": [
                            _object(issuer=_TEXT, add={"type": "object"}, reason=_REASON),
                            _object(issuer=_TEXT, retire=_THUMBPRINT, reason=_REASON),
                        ]
                    },
                ),
                "responses": {"200": _answer("So it is, and in the log.", _ISSUER_KEYS), "default": _PROBLEM},
            },
        },
        "/v1/events/{event}/attendance": {
            "get": {
                "summary": "Exact numbers by rule, over what is sealed so far.",
                "parameters": [
                    *_path("event"),
                    {"name": "rule", "in": "query", "schema": _TEXT},
                    {"name": "by", "in": "query", "schema": {"enum": sorted(SMALL_SCOPES)}},
                    {"name": "session", "in": "query", "schema": _TEXT},
                ],
                "security": [{"organiser": []}],
                "responses": {"200": _answer("Numbers.", _NUMBERS), "default": _PROBLEM},
            }
        },
        "/v1/events/{event}/certificates": {
            "get": {
                "summary": "The certificates issued so far.",
                "parameters": _path("event"),
                "responses": {"200": _answer("Their ids.", _CERTIFICATES), "default": _PROBLEM},
            },
            "post": {
                "summary": "Issue a certificate over what is sealed so far. It may correct an older one.",
                "parameters": _path("event"),
                "security": [{"organiser": []}],
                "requestBody": _body(
                    _JSON,
                    _object(
                        corrects={"type": "integer", "description": "id of the certificate that no longer stands"},
                        reason=_TEXT | {"maxLength": REASON_LIMIT_CHARS},
                    ),
                )
                | {"required": False},
                "responses": {
                    "201": _answer(
                        "Issued, and in the log.", _object(id={"type": "integer"}, certificate_sha256=_TEXT)
                    ),
                    "default": _PROBLEM,
                },
            },
        },
        "/v1/events/{event}/certificates/{certificate}": {
            "get": {
                "summary": "A certificate, its proof (`.tlog-proof`), or it as `.pdf`, `.xlsx`, `.zip`, `.png`.",
                "parameters": _path("event", "certificate"),
                "responses": {
                    "200": _answer("The file.")
                    | {
                        "headers": {
                            "Turnout-Superseded-By": {
                                "schema": {"type": "integer"},
                                "description": "there if it no longer stands: id of the one that took its place",
                            }
                        }
                    },
                    "default": _PROBLEM,
                },
            }
        },
        "/v1/events/{event}/receipt": {
            "get": {
                "summary": "The receipt of whoever shows ticket or viewing token, once the event is over.",
                "parameters": _path("event"),
                "security": [{"ticket": []}],
                "responses": {"200": _answer("A signed note."), "default": _PROBLEM},
            }
        },
        "/verify": {"get": {"summary": "The page that verifies certificates.", "responses": {"200": _answer("HTML.")}}},
        "/log/checkpoint": {"get": {"summary": "The log's signed checkpoint.", "responses": {"200": _answer("Note.")}}},
        "/log/{tile}": {
            "get": {
                "summary": "A tile or entry bundle; `cosigned/<size>`, `timestamps/<size>.tsr`, and the lists of both.",
                "parameters": _path("tile"),
                "responses": {"200": _answer("Bytes."), "default": _PROBLEM},
            }
        },
        "/healthz": {"get": {"summary": "The process lives.", "responses": {"200": _answer("Yes.")}}},
        "/readyz": {
            "get": {
                "summary": "Joins would be accepted.",
                "responses": {"200": _answer("Yes."), "503": _answer("Not now, and why.")},
            }
        },
    },
    "components": {
        "schemas": {
            "Problem": _object(
                type=_TEXT,
                title=_TEXT,
                status={"type": "integer"},
                detail=_TEXT,
                reason={"enum": sorted(reason.label for reason in Reason)},
            )
        },
        "securitySchemes": {
            "ticket": {"type": "http", "scheme": "bearer", "description": "the issuer's JWT or a viewing token"},
            "scanner": {"type": "http", "scheme": "bearer", "description": "the event's scanner key"},
            "organiser": {"type": "http", "scheme": "bearer", "description": "the event's organiser key"},
        },
    },
}
