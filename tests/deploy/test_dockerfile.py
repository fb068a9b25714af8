"""deploy/Dockerfile, held against what it speaks of. No image is built here: there is no daemon."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXT = (ROOT / "deploy" / "Dockerfile").read_text()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """The instructions of a Dockerfile, with their arguments on one line."""

    said: list[tuple[str, str]]

    @classmethod
    def read(cls, text: str) -> "Dockerfile":
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        joined = "\n".join(lines).replace("\\\n", " ").splitlines()
        parts = [line.partition(" ") for line in joined if line]
        return cls([(word.upper(), rest.strip()) for word, _, rest in parts])

    def all(self, wanted: str) -> list[str]:
        return [rest for word, rest in self.said if word == wanted]

    @property
    def last_stage(self) -> dict[str, str]:
        start = max(n for n, (word, _) in enumerate(self.said) if word == "FROM")
        return dict(self.said[start:])

    @property
    def copied(self) -> list[str]:
        """What comes from the build's context."""
        return [path for rest in self.all("COPY") if not rest.startswith("--from") for path in rest.split()[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a top-level path out of the build: the last pattern that fits decides."""
    out = False
    for pattern in IGNORED:
        if fnmatch(path.strip("/"), pattern.removeprefix("!").strip("/")):
            out = not pattern.startswith("!")
    return out


def newest(file: Dockerfile) -> Iterator[str]:
    arguments = dict(rest.split("=", 1) for rest in file.all("ARG"))
    for rest in file.all("FROM"):
        image = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], rest.split()[0])
        if ":" not in image or image.endswith(":latest"):
            yield f"{image} is whatever is newest today"
    for install in re.findall(r"pip install[^&]*", "&".join(file.all("RUN"))):
        if "--require-hashes" not in install and "--no-deps" not in install:
            yield f"not locked: {install.strip()}"


def missing(file: Dockerfile) -> Iterator[str]:
    yield from (f"{path} is not there" for path in file.copied if not (ROOT / path).exists() or ignored(path))
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    yield from (f"{package} is not copied" for package in packages if f"{package}/" not in file.copied)


def careless(file: Dockerfile) -> Iterator[str]:
    last = file.last_stage
    user = last.get("USER", "root").partition(":")[0]
    if not user.isdigit() or int(user) == 0:
        yield f"it runs as {user}"
    if last.get("STOPSIGNAL") != "SIGTERM":
        yield "it is not stopped by SIGTERM"
    asked = re.search(r'"-m", "([\w.]+)"', last.get("HEALTHCHECK", ""))
    if asked is None or find_spec(asked[1]) is None:
        yield "nobody asks whether it lives"
    if yaml.safe_load(last.get("ENTRYPOINT", "[]")) != list(PROJECT["project"]["scripts"]):
        yield "it does not start turnout"
    if re.search(r"(?i)secret|password|token|key=", " ".join(file.all("ENV"))):
        yield "a secret in the environment"


def faults(text: str) -> list[str]:
    file = Dockerfile.read(text)
    return [*newest(file), *missing(file), *careless(file)]


def test_the_image_is_locked_runs_as_nobody_and_holds_every_package() -> None:
    assert faults(TEXT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("python:3.13-slim\n", "python\n", "python is whatever is newest today"),
        ("--require-hashes -r requirements/build", "-r requirements/build",
         "not locked: pip install --no-cache-dir -r requirements/build.txt"),
        ("COPY metrics/ metrics/\n", "", "metrics is not copied"),
        ("COPY metrics/ metrics/", "COPY docs/ metrics/", "docs/ is not there"),
        ("COPY metrics/ metrics/", "COPY nowhere/ metrics/", "nowhere/ is not there"),
        ("USER 10001:10001", "USER root", "it runs as root"),
        ("USER 10001:10001", "USER 0", "it runs as 0"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "it is not stopped by SIGTERM"),
        ("PYTHONUNBUFFERED=1", "REDIS_PASSWORD=1", "a secret in the environment"),
        ('ENTRYPOINT ["turnout"]', 'ENTRYPOINT ["turnip"]', "it does not start turnout"),
        ("deploy.probe", "deploy.probes", "nobody asks whether it lives"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_dockerfile_is_found(right: str, wrong: str, fault: str) -> None:
    assert right in TEXT
    assert fault in faults(TEXT.replace(right, wrong))
