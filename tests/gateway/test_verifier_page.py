"""The verifier's page in a real Chromium: from disk, from a ledger, and check by check what the command line says."""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, sync_playwright

from gateway.cli import main
from gateway.verifier import build
from tests.counters.gappy_world import gappy_world
from tests.counters.published import publish
from tests.gateway.serving import ledger
from tests.gateway.verifier_corpus import POLICY, Case, Corpus, plain_world, signed_anew

EVIDENCE: Final = ("evidence", "all numbers", "roll and cross-check")
"""The page's checks of the evidence, of which the command line makes one."""
FOLLOW_FROM_NUMBERS: Final = ("public statements", "members", "evidence")
"""In these the command line also finds that comparability and press, which follow from the numbers, are of other ones;
the page finds the number, and nothing else may be left for it to pass."""
UNASKED: Final = {"no contradiction": None}
"""The command line leaves this out where nothing is given to contradict; the page says that nothing was."""
VERDICTS: Final = {
    "given_less": {"open", "holds"}, "events": {"holds", "open", "fails"}, "torn": {"fails"}, "untrue": {"fails"},
    "misshapen": {"fails"}, "beside": {"holds", "fails"},
    "policies": {"holds", "fails"}, "contradictions": {"holds", "open", "fails"},
}  # fmt: skip
"""What each part of the corpus holds: one that agreed by passing everything would show nothing."""
SOUND_BESIDE: Final = ["beside: nothing untrue", "several namespaces"]
CONTRASTS: Final = """() => {
  const luminance = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const colour = (text) => text.match(/[0-9.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = colour(getComputedStyle(at).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const wrong = [];
  for (const element of document.querySelectorAll("body *")) {
    const said = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!said || !element.checkVisibility()) continue;
    const both = [colour(getComputedStyle(element).color), ground(element)];
    const [one, other] = both.map(luminance).sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) wrong.push(`${element.tagName} ${element.className} ${contrast.toFixed(2)}`);
  }
  return wrong;
}"""
"""Returns every text whose contrast is below what WCAG 2 (AA) asks for."""
PATIENCE_MS: Final = 180_000


@pytest.fixture(scope="module")
def browser(needed: Callable[[str], str]) -> Iterator[Browser]:
    program = needed("chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        running = playwright.chromium.launch(executable_path=program, args=options)
        yield running
        running.close()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on a disk."""
    path = tmp_path_factory.mktemp("page") / "verify.html"
    path.write_text(build.page(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(browser: Browser, file: Path) -> Iterator[Page]:
    """The page as a file on disk; whatever it asks of a network, and whatever goes wrong in it, is a failure."""
    context = browser.new_context(offline=True)
    shown, wrong = context.new_page(), list[str]()
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.on("console", lambda message: wrong.append(message.text))
    shown.on(
        "request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "blob:")) else None
    )
    shown.goto(file.as_uri())
    yield shown
    context.close()
    assert wrong == []


def drop(page: Page, folder: Path) -> dict[str, Any]:
    """Give the page all that is in a folder, and return what it says of each check, and its verdict."""
    page.click("#again")
    page.set_input_files("#folder", folder)
    page.wait_for_selector("#checks", timeout=PATIENCE_MS)
    passed = {"true": True, "false": False, "null": None}
    verdict = page.get_attribute(".verdict", "data-verdict")
    return {"verdict": verdict} | {row.get_attribute("data-check") or "": passed[row.get_attribute("data-passed") or ""]
            for row in page.query_selector_all("#checks > li")}  # fmt: skip


def told_by_the_command_line(folder: Path) -> dict[str, Any]:
    given: list[str | Path] = ["verify", folder / "certificate.json", "--json", "--keep", folder / "kept"]
    options = {"--policy": "policy.txt", "--log": "log", "--evidence": "evidence", "--against": "checkpoint.txt"}
    for option, name in options.items():
        given += [option, folder / name] if (folder / name).exists() else []
    said = json.loads(CliRunner().invoke(main, [str(one) for one in given]).stdout)
    return UNASKED | {check["name"]: check["passed"] for check in said["checks"]} | {"verdict": said["verdict"]}


def as_the_command_line_has_it(said: dict[str, Any]) -> dict[str, Any]:
    """Return what the page says in the command line's checks.

    There one check rebuilds the whole certificate from the evidence, so that whatever is wrong with it fails there too.
    """
    rebuilt = [said[name] for name in ("public statements", "public numbers", *EVIDENCE)]
    evidence = said["evidence"]
    if None not in rebuilt[:2] and evidence is not None:
        evidence = None not in rebuilt and False not in rebuilt
    return {name: passed for name, passed in said.items() if name not in EVIDENCE} | {"evidence": evidence}


@pytest.mark.parametrize("part", VERDICTS)
def test_page_and_command_line_say_the_same_of_every_certificate(
    page: Page, corpus: Corpus, tmp_path: Path, part: str
) -> None:
    differing, theirs = {}, {}
    cases: Iterator[Case] = getattr(corpus, part)()
    for number, case in enumerate(cases):
        folder = tmp_path / f"{part}-{number:02}"
        folder.mkdir()
        case.make(folder)
        here, theirs[case.name] = as_the_command_line_has_it(drop(page, folder)), told_by_the_command_line(folder)
        # What only the command line checks is its own; where nothing else fails, so is the verdict.
        alone = [passed for name, passed in theirs[case.name].items() if name not in here]
        shared = here.keys() - ({"verdict"} if set(alone) - {True} else set())
        if here["verdict"] == "fails":
            shared -= {name for name in FOLLOW_FROM_NUMBERS if here[name]}
        if differ := {
            name: (here[name], theirs[case.name].get(name))
            for name in shared
            if here[name] != theirs[case.name].get(name)
        }:
            differing[case.name] = differ
    assert differing == {}
    assert {str(said["verdict"]) for said in theirs.values()} == VERDICTS[part]
    if part == "events":
        assert [name for name, said in theirs.items() if said["verdict"] == "fails"] == ["corrected"]
    if part == "beside":
        assert [name for name, said in theirs.items() if said["verdict"] == "holds"] == SOUND_BESIDE


def test_what_gaps_may_hide_is_not_recomputed_and_the_page_says_so(page: Page, tmp_path: Path) -> None:
    world = gappy_world(random.Random(3), "missing")
    files = publish(world, tmp_path / "world")
    said = files.document
    row = next(row for row in said["numbers"] if row["value"] is not None and row.get("bounds", [0])[-1])
    row["bounds"][1] -= 1
    (tmp_path / "given").mkdir()
    signed_anew(files, tmp_path / "signed", said).put(tmp_path / "given", "log", "evidence", policy=POLICY)
    assert drop(page, tmp_path / "given")["all numbers"] is True
    assert told_by_the_command_line(tmp_path / "given")["evidence"] is False
    limits = page.inner_text("#report section:last-child")
    assert "does not recompute the bounds that gaps give" in limits
    assert "does not recompute what each gap may hide" in limits


def test_press_sentences_are_not_recomputed_and_the_page_says_so(page: Page, corpus: Corpus, tmp_path: Path) -> None:
    said = corpus.plain.document
    said["press"][0]["sentence"] = "40 million people came."
    (tmp_path / "given").mkdir()
    signed_anew(corpus.plain, tmp_path / "signed", said).put(tmp_path / "given", "log", policy=POLICY)
    assert told_by_the_command_line(tmp_path / "given")["members"] is False
    drop(page, tmp_path / "given")
    assert "whether the comparability sheet and the press sentences say" in page.inner_text(
        "#report section:last-child"
    )


def test_the_headline_numbers_stand_with_their_definitions_and_with_what_confirmed_them(
    page: Page, corpus: Corpus, tmp_path: Path
) -> None:
    corpus.plain.put(tmp_path)
    drop(page, tmp_path)
    cards = page.inner_text("#headline")
    attendees = next(row["value"] for row in corpus.plain.document["numbers"] if row["scope"] == {})
    assert re.search(rf"Attendees\s+{attendees} people", cards)
    assert "each counted once" in cards
    assert "signed into the log; not recomputed here" in cards
    assert "recomputed here" not in cards.replace("not recomputed here", "")
    assert "SIMULATED" in page.inner_text(".notice")
    corpus.plain.put(tmp_path / "whole", "log", "evidence", policy=POLICY)
    drop(page, tmp_path / "whole")
    assert page.inner_text("#headline").count("recomputed here from the evidence") == page.locator(".card").count()
    # It does not claim what it has not done: by rules that it does not know, and so on.
    assert page.inner_text("#verdict").endswith("Everything checked holds")
    assert "does not recompute" in page.inner_text("#report section:last-child")


@pytest.mark.parametrize(
    ("later_s", "mark", "word"),
    [(-1, "✓", "holds"), (0, "!", "NO: locked after the first session had begun"), (None, "!", "no time is given")],
)
def test_rules_that_were_locked_too_late_have_no_tick(
    page: Page, tmp_path: Path, later_s: int | None, mark: str, word: str
) -> None:
    world = plain_world()
    begun = min(session.starts_at for session in world.event.sessions).timestamp()
    world.locked_at = "yesterday" if later_s is None else world.event.iso(begun + later_s)
    publish(world, tmp_path / "world").put(tmp_path / "given", "log", "evidence", policy=POLICY)
    assert drop(page, tmp_path / "given")["event and windows"] is True
    row = "[data-check='event and windows']"
    assert (page.inner_text(f"{row} .mark"), page.inner_text(f"{row} .state")) == (mark, word)
    said = json.loads(
        CliRunner()
        .invoke(
            main, ["verify", str(tmp_path / "given/certificate.json"), "--log", str(tmp_path / "given/log"), "--json"]
        )
        .stdout
    )
    told = {check["name"]: check["detail"] for check in said["checks"]}["event and windows"]
    assert page.inner_text(f"{row} .detail") == told


def test_a_certificate_that_fails_confirms_no_number(page: Page, corpus: Corpus, tmp_path: Path) -> None:
    corpus.plain.put(tmp_path)
    path = tmp_path / "certificate.json"
    path.write_bytes(path.read_bytes().replace(b'"value":1', b'"value":9', 1))
    assert drop(page, tmp_path)["verdict"] == "fails"
    assert page.locator(".card .confirmed").all_inner_texts() == ["✗ not confirmed: a check failed"] * 8
    assert "Do not rely on these numbers" in page.inner_text(".verdict")


def test_files_are_told_by_what_is_in_them_whatever_they_are_called(page: Page, corpus: Corpus, tmp_path: Path) -> None:
    corpus.plain.put(tmp_path, policy=POLICY)
    names = {"certificate.json": "numbers (1).json", "certificate.tlog-proof": "attachment.bin", "policy.txt": "trust"}
    for name, other in names.items():
        (tmp_path / name).rename(tmp_path / other)
    page.click("#again")
    page.set_input_files("#files", [tmp_path / other for other in names.values()])
    page.wait_for_selector("#checks", timeout=PATIENCE_MS)
    assert page.get_attribute(".verdict", "data-verdict") == "holds"
    (tmp_path / "holiday.jpg").write_bytes(bytes(range(256)))
    page.set_input_files("#files", [tmp_path / "holiday.jpg"])
    page.wait_for_selector("#others:has-text('holiday.jpg')")


def test_of_several_certificates_one_is_chosen(page: Page, corpus: Corpus, tmp_path: Path) -> None:
    for name, files in (("first", corpus.plain), ("second", corpus.bare)):
        (tmp_path / f"{name}.json").write_bytes(files.certificate)
        (tmp_path / f"{name}.tlog-proof").write_bytes(files.proof)
    drop(page, tmp_path)
    digests = []
    for name in ("first", "second"):
        page.select_option("#which", f"{name}.json")
        page.wait_for_selector("[data-check='canonical form']", timeout=PATIENCE_MS)
        assert page.get_attribute("[data-check='proof of inclusion']", "data-passed") == "true"
        digests.append(page.inner_text("[data-check='canonical form'] .detail"))
    assert digests[0] != digests[1]


def test_a_ledger_serves_the_same_page_under_the_same_policy(
    browser: Browser, corpus: Corpus, simulated_event_file: Path, tmp_path: Path
) -> None:
    corpus.plain.put(tmp_path / "given", "log", "evidence", policy=POLICY)
    with ledger(simulated_event_file, tmp_path / "data") as running:
        context = browser.new_context()
        shown = context.new_page()
        answer = shown.goto(running.url + "/verify")
        assert answer is not None
        assert answer.body() == build.page().encode()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert drop(shown, tmp_path / "given")["verdict"] == "holds"
        context.close()


def test_nothing_but_its_own_script_runs_in_it_and_nothing_is_reached(browser: Browser, file: Path) -> None:
    shown = browser.new_page()
    shown.goto(file.as_uri())
    tried = shown.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.stranger = true";
          document.head.append(script);
          const reached = await fetch("https://example.com").then(() => true, () => false);
          return [Boolean(window.stranger), reached];
        }"""
    )
    shown.close()
    assert tried == [False, False]


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["verifier", "-o", str(tmp_path / "verify.html")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "verify.html").read_bytes() == build.page().encode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_everything_is_legible_and_nothing_sticks_out(
    browser: Browser, file: Path, corpus: Corpus, tmp_path: Path, scheme: str
) -> None:
    corpus.plain.put(tmp_path / "given")
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    shown = context.new_page()
    shown.goto(file.as_uri())
    drop(shown, tmp_path / "given")
    shown.click("summary")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360
    assert shown.evaluate(CONTRASTS) == []
    assert shown.evaluate("getComputedStyle(document.getElementById('drop')).transitionDuration") == "0s"
    context.close()


def test_it_can_be_used_by_keyboard_and_says_what_everything_is(page: Page, corpus: Corpus, tmp_path: Path) -> None:
    corpus.plain.put(tmp_path)
    drop(page, tmp_path)
    assert page.evaluate("document.activeElement.id") == "verdict"
    page.click("#again")
    assert page.evaluate("document.activeElement.id") == "files"
    for name in ("folder", "again"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == name
    assert page.get_by_label("Choose files…").count() == 1
    assert page.get_by_label("Choose a folder…").count() == 1
    assert page.get_by_role("progressbar", include_hidden=True).get_attribute("aria-label")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_picture_in_the_docs_is_of_this_page(browser: Browser, file: Path, corpus: Corpus, tmp_path: Path) -> None:
    # TURNOUT_PICTURES=docs writes the one in the docs (docs/verifying.md).
    picture = Path(os.environ.get("TURNOUT_PICTURES", tmp_path)) / "verifier.png"
    corpus.plain.put(tmp_path / "given", "log", "evidence", policy=POLICY)
    shown = browser.new_page(viewport={"width": 1080, "height": 1240})
    shown.goto(file.as_uri())
    drop(shown, tmp_path / "given")
    shown.screenshot(path=picture)
    shown.close()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 400_000
