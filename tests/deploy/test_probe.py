"""The probe of containers: one answer, one exit code."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from deploy.probe import main


class Operations(BaseHTTPRequestHandler):
    """Lives, and is not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"ok\n" if self.path == "/healthz" else b"no seats from the ledger yet\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the interface's
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Operations) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_exit_code_says_how_it_is_and_the_text_why(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{url}/healthz"]) == 0
    assert main([f"{url}/readyz"]) == 1
    assert capsys.readouterr().out == "ok\nno seats from the ledger yet\n"


def test_the_first_at_which_somebody_listens_decides(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = "http://127.0.0.1:9/healthz"
    assert main([nobody, f"{url}/healthz"]) == 0
    assert main([nobody, f"{url}/readyz", f"{url}/healthz"]) == 1
    assert main([nobody]) == 1
    assert nobody in capsys.readouterr().out
