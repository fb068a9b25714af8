"""Imports run one way: gateway → counters → (stdlib, numpy, crypto); the rules are read off every module's syntax."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "counters", "metrics", "deploy", "load_tests")
MADE_FROM_WITHIN = (
    "load_tests/bench/large_window.py",  # a spool of nine million records, which no client here could send in a minute
    # Evidence of seven billion minutes of presence, which would take years to send: segments, journals, leaves.
    "load_tests/scale/crowd_in_windows.py",
    "load_tests/scale/journals.py",
    "load_tests/scale/generating.py",
)
DASHBOARDS_AND_WHO_USES_THEM = ("metrics/dashboards/", "metrics/generate.py", "metrics/preview")
PEERS_OF_THE_BENCH = (  # they speak to a Redis of their own, which has nothing to do with Turnout's
    "load_tests/bench/peer_redis.py",
    "load_tests/peers/aiohttp_pfadd.py",
    "load_tests/peers/fastapi_pfadd.py",
)

MEASURES_THE_SKETCH = ("load_tests/accuracy.py", "load_tests/sketching.py")
"""What they measure is the sketch itself, ten million attendees at a time: not over HTTP, and not another's sketch."""


def imported(source: str, module: str) -> Iterator[str]:
    """Yield the dotted names that a module's source imports, wherever in the module and however spelled.

    `module` is its path from the root, which relative imports start from. `from a import b` yields "a.b": whether b is
    a module or a name in one, the import reaches into a.
    """
    package = module.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            origin = [*start, *([node.module] if node.module else [])]
            yield from (".".join([*origin, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if callee in ("import_module", "__import__"):
                yield str(node.args[0].value)


def within(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def ours(name: str) -> bool:
    return within(name, *PACKAGES)


@dataclass(frozen=True, slots=True)
class Rule:
    """In modules for which `where` holds, no import for which `forbidden` holds."""

    sentence: str
    where: Callable[[str], bool]
    forbidden: Callable[[str], bool]


RULES = (
    Rule(
        "counters knows neither HTTP nor Prometheus nor who uses it",
        lambda module: module.startswith("counters/"),
        lambda name: within(name, "gateway", "metrics", "deploy", "load_tests", "aiohttp", "prometheus_client"),
    ),
    Rule(
        "only counters/redis_link.py speaks Redis",
        lambda module: module not in ("counters/redis_link.py", *PEERS_OF_THE_BENCH),
        lambda name: within(name, "redis", "hiredis"),
    ),
    Rule(
        "metrics knows no HTTP handler",
        lambda module: module.startswith("metrics/"),
        lambda name: within(name, "gateway", "deploy", "load_tests", "aiohttp"),
    ),
    Rule(
        "only metrics/dashboards/grafana.py knows Grafana's SDK, which is there for development alone",
        lambda module: module != "metrics/dashboards/grafana.py",
        lambda name: within(name, "grafana_foundation_sdk"),
    ),
    Rule(
        "only gateway/otlp_traces.py knows OpenTelemetry, which is an extra",
        lambda module: module != "gateway/otlp_traces.py",
        lambda name: within(name, "opentelemetry"),
    ),
    Rule(
        "the dashboards are made, compared and drawn, and nothing that serves imports them",
        lambda module: not module.startswith(DASHBOARDS_AND_WHO_USES_THEM),
        lambda name: within(name, "metrics.dashboards"),
    ),
    Rule(
        "deploy stands below the gateway",
        lambda module: module.startswith("deploy/"),
        lambda name: within(name, "gateway", "metrics", "load_tests", "aiohttp"),
    ),
    Rule(
        "load_tests is an outsider: of ours it uses the verifier, everything else over HTTP",
        lambda module: module.startswith("load_tests/") and module not in (*MADE_FROM_WITHIN, *MEASURES_THE_SKETCH),
        lambda name: ours(name) and not within(name, "load_tests", "counters.verify"),
    ),
    Rule(
        "the measurement of accuracy knows the sketch and nothing else that counts",
        lambda module: module in MEASURES_THE_SKETCH,
        lambda name: ours(name) and not within(name, "load_tests", "counters.hyperloglog"),
    ),
    Rule(
        "the gateway does not know the load tests, but for the demo command",
        lambda module: module.startswith("gateway/") and module != "gateway/cli.py",
        lambda name: within(name, "load_tests"),
    ),
    Rule(
        "the command line knows of the load tests only the demo",
        lambda module: module == "gateway/cli.py",
        lambda name: within(name, "load_tests") and not within(name, "load_tests.demo"),
    ),
    Rule(
        "nothing imports the tests",
        lambda _: True,
        lambda name: within(name, "tests", "pytest", "hypothesis"),
    ),
)


def violations(rule: Rule, module: str, source: str) -> list[str]:
    if not rule.where(module):
        return []
    return [f"{module} imports {name}" for name in imported(source, module) if rule.forbidden(name)]


def modules() -> dict[str, str]:
    """Return the source of every module of ours by its path from the root."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.sentence)
def test_every_module_keeps_to(rule: Rule) -> None:
    assert [fault for module, source in modules().items() for fault in violations(rule, module, source)] == []


@pytest.mark.parametrize(
    ("sentence", "module", "source"),
    [
        ("counters knows", "counters/tally.py", "import aiohttp"),
        ("counters knows", "counters/tally.py", "from gateway.reasons import Reason"),
        ("counters knows", "counters/ledger/log.py", "from prometheus_client import Counter"),
        ("counters knows", "counters/tally.py", "from metrics import catalogue"),
        ("counters knows", "counters/tally.py", "def f():\n    import load_tests.demo"),
        ("counters knows", "counters/tally.py", "import importlib\nimportlib.import_module('deploy.redis')"),
        ("counters knows", "counters/ledger/log.py", "from ...gateway import reasons"),
        ("counters knows", "counters/tally.py", "if TYPE_CHECKING:\n    from aiohttp import web"),
        ("only counters/redis_link.py", "counters/live.py", "import redis"),
        ("only counters/redis_link.py", "gateway/join.py", "from redis.asyncio import Redis"),
        ("only counters/redis_link.py", "load_tests/bench/joins.py", "from redis.asyncio import Redis"),
        ("metrics knows", "metrics/exposition.py", "from aiohttp import web"),
        ("metrics knows", "metrics/catalogue/gateway.py", "from gateway import reasons"),
        ("only metrics/dashboards/", "metrics/dashboards/panel.py", "from grafana_foundation_sdk.builders import stat"),
        ("only gateway/otlp_traces", "gateway/courier.py", "from opentelemetry.trace import get_current_span"),
        ("the dashboards are made", "gateway/carrying.py", "from metrics.dashboards.panel import Panel"),
        ("the dashboards are made", "metrics/exposition.py", "from metrics.dashboards import files"),
        ("deploy stands", "deploy/redis.py", "import gateway.app"),
        ("load_tests is", "load_tests/demo.py", "from counters.event import load_event"),
        ("load_tests is", "load_tests/demo.py", "import counters"),
        ("load_tests is", "load_tests/demo.py", "from counters import *"),
        ("load_tests is", "load_tests/demo.py", "from gateway.viewing_token import open_token"),
        ("load_tests is", "load_tests/demo.py", "import counters.verify_more"),
        ("the measurement of accuracy", "load_tests/sketching.py", "from counters.attendee import attendee_selector"),
        ("the gateway does", "gateway/app.py", "from load_tests.demo import replay"),
        ("the command line", "gateway/cli.py", "from load_tests.players import Player"),
        ("nothing imports", "gateway/app.py", "import pytest"),
    ],
)
def test_a_module_against_the_rule_is_found(sentence: str, module: str, source: str) -> None:
    (rule,) = [rule for rule in RULES if rule.sentence.startswith(sentence)]
    assert violations(rule, module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("counters/redis_link.py", "import redis.asyncio, hiredis"),
        ("counters/tally.py", "from counters.hyperloglog import position\nfrom . import spool\nimport numpy"),
        ("gateway/app.py", "import aiohttp, counters.event, deploy\nfrom metrics.exposition import render"),
        ("gateway/cli.py", "from load_tests.demo import replay"),
        (
            "load_tests/demo.py",
            "from counters.verify import verify\nfrom counters import verify\nimport load_tests.players",
        ),
    ],
)
def test_a_module_within_the_rules_is_left_alone(module: str, source: str) -> None:
    assert [fault for rule in RULES for fault in violations(rule, module, source)] == []


def test_the_rules_are_read_off_real_modules() -> None:
    found = modules()
    assert {path.split("/")[0] for path in found} == set(PACKAGES)
    assert "gateway.reasons.Reason" in set(imported("from gateway.reasons import Reason", "tests/x.py"))


def test_a_worker_loads_nothing_that_certifies() -> None:
    certifying = ("counters.numbers", "counters.bounds", "counters.reckoning", "counters.certificate")
    look = f"import sys, gateway.worker; print(*(name for name in {certifying} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
