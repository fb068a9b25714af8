"""How the serving processes log: to standard error, for people or as JSON, one object a line.

Levels, as docs/logging.md has them for operators:

    error      somebody has to do something
    warning    something is worse than it should be, and heals by itself when its cause is gone
    info       what the process did, a few lines an hour
    debug      every request that aiohttp answers; never a heartbeat

No line says anything about a viewer: whoever logs names windows, workers, files, and counts. In case a library's error
text or a traceback quotes a credential all the same, it is blotted out of every line, here.
"""

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from gateway.harmless import harmless, harmless_lines

BLOTTED: Final = "[blotted out]"
_CREDENTIALS: Final = re.compile(
    r"(?<=://)[^\s/@]+(?=@)"  # user and password of a URL
    r"|(?i:(?<=bearer )\S+)"
    r"|(?<=[?&]token=)[^\s&]+"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|\bPRIVATE\+KEY\+\S+"  # a note's signing key
)
JSON_HANDLER: Final = "turnout's JSON lines"
_ORDER: Final = ("time", "level", "process", "logger", "message")


def without_credentials(text: str) -> str:
    """Return a text without tickets, tokens and passwords."""
    return _CREDENTIALS.sub(BLOTTED, text)


def begin_logging(log_format: str, log_level: str, process: str, **about: str) -> None:
    """Log to standard error from now on.

    Args:
        log_format: "console" or "json".
        log_level: "debug", "info", "warning" or "error": the least that is logged.
        process: which process this is: "gateway", "worker", "ledger", "witness", "up".
        about: more that stands in each line.
    """
    as_json = log_format == "json"
    handler = logging.StreamHandler()
    handler.name = JSON_HANDLER if as_json else None
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                _timed,
                _adding({"process": process, "pid": os.getpid(), **about} if as_json else {}),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.EventRenamer("message"),
                _blot,
                *([_in_order, structlog.processors.JSONRenderer(_json)] if as_json else [_for_people]),
            ],
        )
    )
    logging.basicConfig(level=log_level.upper(), handlers=[handler])


def logs_json() -> bool:
    """Whether this process logs as JSON by now."""
    return any(handler.name == JSON_HANDLER for handler in logging.getLogger().handlers)


def _timed(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001
    time = datetime.fromtimestamp(line["_record"].created, UTC)
    return {**line, "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def _adding(fields: EventDict) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def add(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001 - structlog's processor
        return {**line, **fields}

    return add


def _blot(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001
    return {name: without_credentials(value) if isinstance(value, str) else value for name, value in line.items()}


def _in_order(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:  # noqa: ARG001
    first = {name: line.pop(name) for name in _ORDER if name in line}
    return first | dict(sorted(line.items()))


def _json(line: EventDict, **_options: Any) -> str:
    return orjson.dumps(line, default=str).decode()


def _for_people(logger: WrappedLogger, method: str, line: EventDict) -> str:  # noqa: ARG001
    """One line, and below it, indented, what was raised."""
    time, level, name, message = (line.pop(key) for key in ("time", "level", "logger", "message"))
    raised = "".join(f"\n  {harmless(each)}" for each in line.pop("exception", "").splitlines())
    more = "".join(f" {key}={value}" for key, value in sorted(line.items()))
    return harmless_lines(f"{time} {level.upper()} {name}: {message}{more}") + raised
