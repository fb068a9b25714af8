"""The supervisor: one gateway to a spool."""

import os
from pathlib import Path

import pytest

from gateway.take_over import own_spool


def test_a_spool_has_one_gateway_at_a_time(tmp_path: Path) -> None:
    owned = own_spool(tmp_path)
    with pytest.raises(OSError, match="another gateway runs with the spool"):
        own_spool(tmp_path)
    os.close(owned)
    os.close(own_spool(tmp_path))
