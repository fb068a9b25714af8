"""A TLS certificate exchanged under the shipped nginx, as docs/keys.md says: nobody is refused meanwhile."""

import signal
import ssl
from collections.abc import Callable
from pathlib import Path

from load_tests.ports import free_port
from tests.deploy.load_balancers import Nginx, certificate
from tests.gateway.commands import CERTAIN_S
from tests.gateway.serving import until


def test_a_reloaded_nginx_has_the_new_certificate_and_no_handshake_fails(
    tmp_path: Path, needed: Callable[[str], str]
) -> None:
    program, openssl = needed("nginx"), needed("openssl")
    pems = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        pems.append(certificate(tmp_path / name, openssl))
    nginx = Nginx(tmp_path, program, pems[0], [free_port(), free_port()])
    try:
        nginx.start()

        def shown() -> str:
            return ssl.get_server_certificate(("127.0.0.1", nginx.tls_port), timeout=CERTAIN_S).strip()

        old, new = (pem.read_text() for pem in pems)
        assert shown() in old
        for name in ("certificate.pem", "key.pem"):
            (nginx.folder / "tls" / name).write_text(new)
        assert shown() in old, "it is read when it is told"
        nginx.send(signal.SIGHUP)  # what `nginx -s reload` sends
        until(lambda: shown() in new, "the new certificate is shown")
    finally:
        nginx.end()
