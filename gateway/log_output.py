"""How the serving processes log: to standard error, for people or as JSON, one object a line."""

import json
import logging
from datetime import UTC, datetime
from typing import Final

FOR_PEOPLE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, and what was raised."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["raised"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def begin_logging(log_format: str, log_level: str) -> None:
    """Log to standard error from now on.

    Args:
        log_format: "console" or "json".
        log_level: "debug", "info", "warning" or "error": the least that is logged.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter(FOR_PEOPLE))
    logging.basicConfig(level=log_level.upper(), handlers=[handler])
