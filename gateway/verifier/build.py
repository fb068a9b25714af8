"""Makes the verifier's one self-contained page of its modules, each time that somebody wants it.

`python -m gateway.verifier.build` (`make generate`) writes `words.json`, which outsiders read, and a test compares. The
modules beside this file are plain ES modules. A page from disk cannot load modules, and ours may load nothing at all,
so each becomes a function of its own in one script, in the order in which they need each other:

    import { sha256 } from "./sha256.js";     const { sha256 } = sha256_js;
    export function leafHash(entry) {…}       const merkle_js = (() => { function leafHash … return { leafHash }; })();

The script and the style are named in the page's Content-Security-Policy by their SHA-256: nothing else runs, and the
page can reach no network.
"""

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Final

from gateway.verifier.words import words

FOLDER: Final = Path(__file__).parent
WORDS: Final = FOLDER / "words.json"
_IMPORT: Final = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:async function|function|class|const) (\w+))", re.MULTILINE)
_SOURCE: Final = "Turnout's verifier, gateway/verifier/{name}.js"


class BuildError(Exception):
    """A module is written in a way that this inliner does not know."""


def words_json() -> str:
    """Return the text of `words.json`."""
    return json.dumps(words(), indent=1, ensure_ascii=False) + "\n"


def bundle(*names: str) -> str:
    """Return one script of these modules and all that they need.

    Raises:
        BuildError: a module is missing, needs itself, or imports or exports in a form other than those above.
    """
    made: dict[str, str] = {}
    for name in names:
        _add(name, made, ())
    return '"use strict";\n\n' + "\n".join(made.values())


def _add(name: str, made: dict[str, str], above: tuple[str, ...]) -> None:
    if name in above:
        raise BuildError(f"{name}.js needs itself: {' → '.join((*above, name))}")
    if name in made:
        return
    text = _text_of(name)
    for needed in _IMPORT.finditer(text):
        _add(needed[2], made, (*above, name))
    exported = [found[2] for found in _EXPORT.finditer(text)]
    body = _EXPORT.sub(r"\1", _IMPORT.sub(_bound, text)).strip()
    if left := re.search(r"^(import|export)\b.*", body, re.MULTILINE):
        raise BuildError(f"{name}.js: not understood: {left[0]}")
    said = _SOURCE.format(name=name)
    made[name] = f"// {said}\nconst {name}_js = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();\n"


def _bound(needed: re.Match[str]) -> str:
    names = " ".join(needed[1].replace(" as ", ": ").split())
    return f"const {{ {names} }} = {needed[2]}_js;\n"


def _text_of(name: str) -> str:
    if name == "words":  # the data as a module
        return f"export const WORDS = {json.dumps(words(), ensure_ascii=False)};\n"
    try:
        return (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BuildError(f"there is no module {name}.js") from None


def content_security_policy(script: str, style: str) -> str:
    """Return the policy of a page with this script and this style, and with nothing else."""
    hashes = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
              for name, text in (("script", script), ("style", style))}  # fmt: skip
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "worker-src blob:; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def page() -> str:
    """Return the page, one HTML file."""
    script = "\n" + bundle("page")
    style = "\n" + (FOLDER / "page.css").read_text(encoding="utf-8")
    if "</script" in script or "</style" in style or "\r" in script + style:
        raise BuildError("the script or the style would end its element, or has line ends that a browser changes")
    text = (FOLDER / "page.html").read_text(encoding="utf-8")
    parts = {"policy": content_security_policy(script, style), "style": style, "script": script}
    return re.sub(r"@(policy|style|script)@", lambda name: parts[name[1]], text)


def main() -> None:
    """Write what is generated."""
    WORDS.write_text(words_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
