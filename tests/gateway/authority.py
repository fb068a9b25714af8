"""A timestamp authority (RFC 3161) of the tests: certificates made here, `openssl ts` behind a small HTTP server."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
Misbehaviour = Callable[[bytes], bytes | None]
"""From a query to another one that is answered in its place, or to None: then the answer is 503."""

_CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
"""


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass
class TestAuthority:
    """One authority, and how it misbehaves now."""

    __test__ = False

    folder: Path
    openssl: str
    url: str = ""
    misbehaviour: Misbehaviour = field(default=lambda query: query)
    asked: int = 0

    @property
    def ca(self) -> bytes:
        """Its root certificate, PEM."""
        return (self.folder / "ca.pem").read_bytes()

    def answer(self, query: bytes) -> bytes:
        """Return a TimeStampResp to a TimeStampReq."""
        (self.folder / "query").write_bytes(query)
        done = subprocess.run(
            [self.openssl, "ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query", "-out", "answer"],
            cwd=self.folder, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return (self.folder / "answer").read_bytes()


def make_authority(folder: Path, openssl: str, *, valid_days: tuple[int, int] = (-1, 1)) -> TestAuthority:
    """Make an authority whose certificates are valid from so many days from now to so many."""
    folder.mkdir(parents=True)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root, signer = _name(f"{folder.name} root"), _name(f"{folder.name} signer")
    since, until = (NOW + timedelta(days=days) for days in valid_days)

    def certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        usage = x509.KeyUsage(
            digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=not ca, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if not ca:
            stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
            builder = builder.add_extension(stamping, critical=True).add_extension(issuer, critical=False)
        return builder.sign(keys[0], hashes.SHA256())

    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(certificate(root, keys[0], ca=True).public_bytes(pem))
    (folder / "tsa.pem").write_bytes(certificate(signer, keys[1], ca=False).public_bytes(pem))
    (folder / "tsa.key").write_bytes(
        keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "serial").write_text("01\n")
    (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
    return TestAuthority(folder, openssl)


@contextmanager
def served(authority: TestAuthority) -> Iterator[TestAuthority]:
    """Serve an authority on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            authority.asked += 1
            other = authority.misbehaviour(query)
            answer = b"" if other is None else authority.answer(other)
            self.send_response(503 if other is None else 200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        authority.url = f"http://127.0.0.1:{server.server_address[1]}/tsa"
        try:
            yield authority
        finally:
            server.shutdown()
            thread.join()
