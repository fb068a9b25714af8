"""docs/ledger.md promises only what a test holds: every sentence names tests, and every test that it names exists."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ledger.md"
PROMISE = re.compile(r"^(\d+)\. (.*(?:\n +.*)*)", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
UNPROVEN = "What is not promised"


def promises(page: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of every promise of a page."""
    for found in PROMISE.finditer(page.partition(f"## {UNPROVEN}")[0]):
        yield int(found[1]), " ".join(found[2].split())


@functools.cache
def named_in(path: Path) -> frozenset[str]:
    """The names of the test functions of a file; none if there is no such file."""
    if not path.is_file():
        return frozenset()
    functions = (node for node in ast.parse(path.read_text(encoding="utf-8")).body)
    return frozenset(
        node.name for node in functions
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    )  # fmt: skip


def unheld(page: str) -> list[str]:
    """What is wrong with the promises of a page."""
    wrong, expected = [], 1
    for number, text in promises(page):
        if number != expected:
            wrong.append(f"promise {number} stands where {expected} should")
        expected = number + 1
        named = TEST.findall(text)
        if not named:
            wrong.append(f"promise {number} names no test")
        if not re.search(r"\.\)?$", TEST.sub("", text).rstrip(" ,()")) or text.startswith("("):
            wrong.append(f"promise {number} is no sentence")
        wrong += [f"promise {number}: there is no {path}::{test}" for path, test in named
                  if test not in named_in(ROOT / path)]  # fmt: skip
    return wrong


def test_every_promise_is_a_sentence_that_names_tests_that_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(list(promises(page))) > 20
    assert unheld(page) == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("1. It holds.\n", "promise 1 names no test"),
        ("1. It holds. (`tests/no/such_test.py::test_it`)\n", "there is no tests/no/such_test.py::test_it"),
        ("1. It\n   holds. (`tests/architecture/test_promises.py::test_nothing`)\n", "::test_nothing"),
        ("2. It holds. (`tests/architecture/test_promises.py::test_what_is_not_held_is_found`)\n", "promise 2 stands"),
        ("1. (`tests/architecture/test_promises.py::test_what_is_not_held_is_found`)\n", "promise 1 is no sentence"),
    ],
)
def test_what_is_not_held_is_found(page: str, words: str) -> None:
    assert any(words in wrong for wrong in unheld(page)), unheld(page)


def test_what_holds_is_not_objected_to() -> None:
    assert unheld("1. It\n   holds. (`tests/architecture/test_promises.py::test_what_is_not_held_is_found`)\n") == []
