"""The recording rules: whether the doors are open, and the objectives of the event over several windows.

Nothing else is recorded. A panel asks for what it shows, which is a few series; what would be dear to ask for again and
again, an objective over two hours of every counter of every gateway, is kept as one series.
"""

from typing import Any, Final

from metrics.objectives import recordings
from metrics.promql import in_rules
from metrics.rule import Recording
from metrics.rule_queries import DOORS, DOORS_OPEN

RECORDINGS: Final = (Recording(DOORS_OPEN, DOORS(in_rules("5m"))), *recordings())
"""In the order in which they need each other: one group, which Prometheus works through from its beginning."""


RULES_GROUP: Final = "turnout-recordings"


def rules_yml() -> dict[str, Any]:
    """Return the recording rules as Prometheus reads them."""
    rules = [
        {"record": rule.name, "expr": rule.expression} | ({"labels": dict(rule.labels)} if rule.labels else {})
        for rule in RECORDINGS
    ]
    return {"groups": [{"name": RULES_GROUP, "rules": rules}]}
