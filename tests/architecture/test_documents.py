"""What the documents point at exists: links, headings, make targets, and `turnout` commands with their options."""

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "requirements").glob("*.md")],
)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
BEFORE = r"(?:sudo |runuser \S+ \S+ -- |docker compose \S+ \S+ exec \S+ |kubectl \S+ \S+ exec \S+ -- |prlimit \S+ )?"
"""What runs a command somewhere else, or as somebody else."""
COMMAND = re.compile(rf"^(?:\$ )?{BEFORE}(?:[A-Z_]+=\S+ )*(?:\S*/)?(turnout|make) ([a-z][a-z-]*)(.*)$")
SHELL_LANGUAGES = ("", "sh", "bash", "console", "shell")
TEXTS = {".cfg", ".conf", ".js", ".json", ".md", ".py", ".toml", ".typ", ".yaml", ".yml"}
GROUPS = ("audit", "config")
"""Commands that have commands."""
ABOUT_ANOTHER = {"config", "doctor"}
"""Commands that take the options of the serving command that stands behind them, else of `turnout up`."""
SERVING = re.compile(r" (gateway|ledger|witness)(?= |$)")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]+")


def prose(text: str) -> str:
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(INLINE.sub("", prose(page.read_text(encoding="utf-8")))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            yield target


def commands(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (program, command, arguments) of every `turnout …` and `make …` that a page tells its reader to type."""
    lines = INLINE.findall(prose(text))
    for language, block in FENCE.findall(text):
        if language in SHELL_LANGUAGES:
            lines += block.replace("\\\n", " ").splitlines()
    for line in lines:
        for part in re.split(r"&&|\|\||[;|]", line.partition(" #")[0]):
            if found := COMMAND.match(part.strip()):
                yield found[1], found[2], found[3]


@functools.cache
def help_of(*command: str) -> str:
    """Return the help of a `turnout` command; fails with what the program said if there is no such command."""
    call = "from gateway.cli import main; main(prog_name='turnout')"
    run = subprocess.run(
        [sys.executable, "-c", call, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"turnout {' '.join(command)} --help: {run.stdout}{run.stderr}"
    return run.stdout


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program, "GNU make is not on the PATH"
    return subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def make_knows(target: str) -> bool:
    return make("-n", target).returncode == 0


def named(program: str) -> list[tuple[str, str, str]]:
    found = {
        (page.relative_to(ROOT).as_posix(), command, arguments)
        for page in PAGES
        for name, command, arguments in commands(page.read_text(encoding="utf-8"))
        if name == program
    }
    return sorted(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading: here\n[ok](#a-heading-here) [gone](gone.md) [no](page.md#nowhere) `[code](x)`\n")
    assert list(broken_links(page)) == ["gone.md", "page.md#nowhere"]


def test_the_list_of_decisions_has_each_in_its_place() -> None:
    listed = re.findall(
        r"^(\d+)\. \[[^]]+\]\((\d{4})-[^)]+\.md\)$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    numbers = sorted(int(path.name[:4]) for path in DECISIONS.glob("0*.md"))
    assert [(int(place), int(name)) for place, name in listed] == [(number, number) for number in numbers]
    assert numbers == list(range(1, len(numbers) + 1))


def left_over(text: str) -> list[str]:
    """Return the marks that a merge leaves where somebody has yet to decide."""
    return re.findall(r"^(?:<{7}|>{7}) .*$", text, re.MULTILINE)


def test_no_file_has_a_merge_that_nobody_has_decided() -> None:
    folders = [ROOT / name for name in ("counters", "deploy", "docs", "gateway", "load_tests", "metrics", "tests")]
    texts = [path for folder in folders for path in folder.rglob("*") if path.suffix in TEXTS]
    found = [path for path in (*texts, *PAGES) if left_over(path.read_text(encoding="utf-8"))]
    assert len(texts) > 500
    assert found == []


def test_a_merge_that_nobody_has_decided_is_found() -> None:
    assert left_over(f"a\n{'<' * 7} HEAD\nb\n") == [f"{'<' * 7} HEAD"]


@pytest.mark.parametrize(("page", "target"), sorted({(page, target) for page, target, _ in named("make")}))
def test_every_make_target_that_a_page_names_exists(page: str, target: str) -> None:
    assert make_knows(target), f"{page} names `make {target}`"


def test_a_make_target_that_does_not_exist_is_found() -> None:
    assert not make_knows("no-such-target")


@pytest.mark.parametrize(("page", "command", "arguments"), named("turnout"))
def test_every_turnout_command_that_a_page_names_exists_with_its_options(
    page: str, command: str, arguments: str
) -> None:
    text = help_of(command, *re.findall(r"^ ([a-z]+)(?= |$)", arguments) if command in GROUPS else ())
    if command in ABOUT_ANOTHER:
        text += help_of(*SERVING.findall(arguments)[:1] or ["up"])
    missing = [option for option in OPTION.findall(arguments) if option not in text and option != "--help"]
    assert missing == [], f"{page} names `turnout {command}{arguments}`"


def test_a_turnout_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError, match="No such command"):
        help_of("no-such-command")


def test_commands_are_found_where_a_reader_would_type_them() -> None:
    page = """
Run `make demo`, then `turnout verify FILE --evidence DIR`; `"software": "turnout 0.1.0"` is no command.
```sh
$ cd x && TURNOUT_REQUIRE_ALL=1 make test PYTEST=-x
.venv/bin/turnout up event.toml \\
    --workers 2   # turnout comment
runuser -u turnout -- /opt/turnout/bin/turnout steer /etc/turnout/event.toml --show
kubectl -n turnout exec ledger-0 -- turnout doctor ledger
```
```json
make nothing
```
"""
    found = {(program, command, " ".join(arguments.split())) for program, command, arguments in commands(page)}
    assert found == {
        ("make", "demo", ""),
        ("turnout", "verify", "FILE --evidence DIR"),
        ("make", "test", "PYTEST=-x"),
        ("turnout", "up", "event.toml --workers 2"),
        ("turnout", "steer", "/etc/turnout/event.toml --show"),
        ("turnout", "doctor", "ledger"),
    }


def test_the_makefile_explains_every_target_that_a_person_would_call() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE))
    shown = make().stdout
    assert {"help", "demo", "run", "test", "lint", "lock", "bench", "clean"} <= phony
    assert set(re.findall(r"^  make ([a-z]+)", shown, re.MULTILINE)) == phony
