"""The OpenAPI document: it names every address that the gateway has, and none that it has not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.openapi import DOCUMENT
from gateway.reasons import Reason
from tests.gateway.serving import Serving, serving

METHODS = ("get", "post", "put", "delete")


@pytest.fixture(scope="module")
def served(event_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(event_file, tmp_path_factory.mktemp("openapi")) as worker:
        yield worker


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for inner in node.values():
            yield from schemas(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from schemas(inner)


def shape(path: str) -> str:
    """A path with its parameters' names left out."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_the_document_is_served_as_it_is(served: Serving) -> None:
    answer = served.ask("GET", "/v1/openapi.json")
    assert answer.status == 200
    assert answer.json == DOCUMENT


def test_every_route_is_documented_and_every_documented_path_is_a_route(served: Serving) -> None:
    routes = {
        (shape(resource.canonical), method)
        for resource in served.worker.api.application().router.resources()
        for route in resource
        for method in ({"GET", "POST"} if route.method == "*" else {route.method})
        if method != "HEAD"
    }
    documented = {
        (shape(path), method.upper())
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in METHODS
    }
    # The checkpoint is one of the log's pages; the document itself is not in the document.
    assert documented - {("/log/checkpoint", "GET")} == routes - {("/v1/openapi.json", "GET")}


def test_every_path_parameter_is_declared_and_required() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            declared = {
                parameter["name"]: parameter["required"]
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "path"
            }
            assert declared == dict.fromkeys(re.findall(r"\{(\w+)\}", path), True)


def test_every_reference_and_security_scheme_is_defined() -> None:
    components = DOCUMENT["components"]
    for node in schemas(DOCUMENT):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/components/schemas/") in components["schemas"]
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            assert operation["summary"].endswith(".")
            assert all(name in components["securitySchemes"] for need in operation.get("security", []) for name in need)


def test_the_problem_names_every_reason() -> None:
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["reason"]["enum"] == sorted(
        reason.label for reason in Reason
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status_a_sentence_and_problem_details_of_the_documented_shape(reason: Reason) -> None:
    problem = reason.problem()
    assert set(DOCUMENT["components"]["schemas"]["Problem"]["required"]) == problem.keys()
    assert 400 <= reason.status < 600
    assert reason.detail.endswith(".")
    assert reason.problem("More is known.")["detail"] == "More is known."


def test_no_two_reasons_are_one() -> None:
    """An Enum makes members with equal values aliases of each other: a reason would silently vanish."""
    assert len(Reason.__members__) == len(list(Reason))


def test_the_documented_bodies_of_heartbeats_are_what_the_worker_takes(served: Serving) -> None:
    beat = DOCUMENT["paths"]["/v1/beat"]["post"]["requestBody"]["content"]["text/plain"]["schema"]["pattern"]
    leave = DOCUMENT["paths"]["/v1/leave"]["post"]["requestBody"]["content"]["text/plain"]["schema"]["pattern"]
    token = served.token()
    for body in (token, *(f"{token} {letter}" for letter in "pbae"), f"{token} x", token[:-1], token + " "):
        assert bool(re.fullmatch(beat, body)) == (served.ask("POST", "/v1/beat", body.encode()).status == 204)
        assert bool(re.fullmatch(leave, body)) == (served.ask("POST", "/v1/leave", body.encode()).status == 204)
