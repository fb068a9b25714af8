"""Asking a running ledger: whatever answers there, the command ends with a sentence."""

import socket
import threading
from pathlib import Path

import pytest

from gateway.running_ledger import RunningLedger, SilentLedgerError


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"-ERR unknown command 'GET'\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 503 Away\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "a Redis", "too many headers", "an answer cut off", "a refusal cut off"],
)
def test_who_answers_otherwise_than_a_ledger_is_told_of_in_a_sentence(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        ledger = RunningLedger(f"http://127.0.0.1:{listening.getsockname()[1]}", "key", Path("secrets.json"))
        with pytest.raises(SilentLedgerError, match="does not answer"):
            ledger.ask("/certificates")
        serving.join()
