"""A gateway's name: one spool speaks for it, and it is taken before anybody is served.

The ledger keeps who has which name (gateway.gateway_api). A second gateway of one name, by default that of its host,
would be given seats, and its workers be missing in windows that it never was to serve.
"""

import asyncio
import hashlib
import logging
import time
from pathlib import Path
from typing import Final

from counters.spool_lock import boot_id
from gateway.ledger_client import GatewayName, LedgerClient, LedgerRefusedError, LedgerUnavailableError
from gateway.mendable import CannotServeError

NAME_TAKEN: Final = "gateway_name_taken"
"""The label with which the ledger refuses a gateway whose name another one has."""
NAME_PATIENCE_S: Final = 8.0
"""A gateway that replaces one of its name on another spool finds the name held for some seconds
(gateway.gateway_api.NAME_HELD_S)."""
ASK_AGAIN_S: Final = 1.0
LEDGER_PATIENCE_S: Final = 3.0
"""A ledger that takes longer to say whose the name is keeps no gateway from starting."""
_log = logging.getLogger("turnout.supervisor")


def spool_id(spool: Path) -> str:
    """Return what tells this spool from any other for as long as its host runs: 16 hex digits."""
    stat = spool.stat()
    return hashlib.blake2b(f"{boot_id()} {stat.st_dev} {stat.st_ino}".encode(), digest_size=8).hexdigest()


async def claim_name(ledger: LedgerClient, name: GatewayName) -> None:
    """Take a name, and wait some seconds for one that is held.

    A ledger that is away is not waited for: a gateway whose name is taken is then given no seats, and ends when the
    ledger is back. Whatever else the ledger refuses, it says to the workers.

    Raises:
        CannotServeError: another gateway, with another spool, runs under that name.
    """
    until = time.monotonic() + NAME_PATIENCE_S
    while True:
        last = time.monotonic() > until  # looked at before asking: who stood still meanwhile asks once more
        try:
            async with asyncio.timeout(LEDGER_PATIENCE_S):
                await ledger.steering(name, 0, "")
        except (LedgerUnavailableError, TimeoutError):
            return
        except LedgerRefusedError as error:
            if error.reason != NAME_TAKEN:
                return
            if last:
                raise CannotServeError(str(error)) from None
            _log.warning("not started yet: %s", error)
        else:
            return
        await asyncio.sleep(ASK_AGAIN_S)
