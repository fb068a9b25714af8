"""The supervisor: one gateway to a spool."""

import os
import socket
from pathlib import Path

import pytest

from gateway import all_in_one, stopping
from gateway.answers import announced
from gateway.listening import adopt, inherited
from gateway.take_over import TakeOverError, ask, own_spool


def test_a_spool_has_one_gateway_at_a_time(tmp_path: Path) -> None:
    owned = own_spool(tmp_path)
    with pytest.raises(OSError, match="another gateway runs with the spool"):
        own_spool(tmp_path)
    os.close(owned)
    os.close(own_spool(tmp_path))


def test_the_socket_that_systemd_opened_is_taken_only_by_the_process_that_it_was_opened_for() -> None:
    assert inherited({}) is None
    assert inherited({"LISTEN_PID": str(os.getppid()), "LISTEN_FDS": "1"}) is None
    with pytest.raises(OSError, match="systemd passes 2 sockets"):
        inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})


def test_what_is_handed_on_must_be_a_socket_that_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        adopted = adopt(os.dup(listener.fileno()))
        assert adopted.getsockname() == listener.getsockname()
        adopted.close()
    with socket.socket() as other, pytest.raises(OSError, match="no listening TCP socket"):
        adopt(os.dup(other.fileno()))
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="socket"):
        adopt(reading)
    os.close(reading)
    os.close(writing)


def test_nobody_to_take_over_from_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TakeOverError, match="does not hand its port on"):
        ask(tmp_path, "0" * 64)


def test_the_shares_of_the_time_to_stop_are_within_its_limit() -> None:
    assert max(stopping.DRAIN_S, stopping.LAST_READ_S) < stopping.WORKER_ENDS_S
    assert stopping.WORKER_ENDS_S + stopping.FAREWELL_S < stopping.STOP_LIMIT_S < all_in_one.STOP_S
    assert stopping.moving_s(30) > max(announced(30))
    assert stopping.moving_s(5) > max(announced(5))
