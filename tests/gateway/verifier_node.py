"""The verifier's modules under Node: what a browser does with them, without a browser."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.verifier.build import bundle
from tests.gateway.commands import CERTAIN_S

_TAIL: Final = """
const bytes = (hex) => bytes_js.fromHex(hex);
const outcome = (make) => { try { return { value: make() }; } catch (error) { return { error: error.message }; } };
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
Promise.resolve(((given) => { %s })(given)).then((said) => process.stdout.write(JSON.stringify(said)));
"""


@dataclass(frozen=True)
class Modules:
    """Some of the modules, to be run with Node; each is there as `name_js`."""

    program: str
    folder: Path
    names: tuple[str, ...]

    def run(self, body: str, given: Any) -> Any:
        """Return what a function with this body returns, or promises; `given` is its argument, as JSON carries it."""
        script = self.folder / "script.js"
        script.write_text(bundle(*self.names) + _TAIL % body, encoding="utf-8")
        done = subprocess.run(
            [self.program, script], input=json.dumps(given), capture_output=True, text=True, check=False,
            timeout=CERTAIN_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
