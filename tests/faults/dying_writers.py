"""Writers of a log, each of which dies by SIGKILL before or after one step of the disk: all steps, one life each.

    python -m tests.faults.dying_writers BASE OUT SIGNER GROUP…

Every life works in a copy of BASE of its own, OUT/<step>-<before|after>, and appends groups of as many entries as the
numbers say. For each it prints one line of JSON: {"home", "acknowledged"}, the size of the log that its last `append`
to return has answered. Lives are forks of this one process, because starting Python for each takes a hundred times as
long; the deaths are real.
"""

import json
import os
import shutil
import sys
from itertools import count
from pathlib import Path

from counters.ledger.log import Log
from counters.ledger.note import Signer
from tests.counters.fragile_disk import FaultyDisk, die


def live(home: Path, signer: Signer, disk: FaultyDisk, groups: list[int], say: int) -> None:
    """Append the groups, and say the size after each."""
    with Log.open(home / "log", signer, disk=disk) as log:
        for size in groups:
            os.write(say, b"%d\n" % log.append([b"%d" % (log.size + number) for number in range(size)]).size)


def main() -> None:
    base, out, signer = Path(sys.argv[1]), Path(sys.argv[2]), Signer.decode(sys.argv[3])
    groups = [int(size) for size in sys.argv[4:]]
    for after in (False, True):
        for step in count():
            home = out / f"{step}-{'after' if after else 'before'}"
            shutil.copytree(base, home)
            hear, say = os.pipe()
            pid = os.fork()
            if not pid:
                live(home, signer, FaultyDisk(step, after=after, fault=die), groups, say)
                os._exit(0)
            os.close(say)
            _, status = os.waitpid(pid, 0)
            with os.fdopen(hear) as heard:
                said = heard.read().split()
            if os.WIFEXITED(status):  # the life is shorter than that
                shutil.rmtree(home)
                break
            print(json.dumps({"home": str(home), "acknowledged": int(said[-1]) if said else 0}))  # noqa: T201


if __name__ == "__main__":
    main()
