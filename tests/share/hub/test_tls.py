"""TLS and mutual TLS, as the command line serves them."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(home: Path, name: str, signer: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """Write NAME.pem and NAME.key; gives (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(signer[0].subject if signer else subject).public_key(key.public_key())
    )
    made = (
        made.serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
    )
    made = made.add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    by = signer[1] if signer else key
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    usage = x509.KeyUsage(True, False, False, False, False, signer is None, signer is None, False, False)
    signed = made.add_extension(usage, critical=True).sign(by, hashes.SHA256())
    (home / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (home / f"{name}.key").write_bytes(key.private_bytes(*form))
    return signed, key


@pytest.fixture
def mutual(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    ca = certificate(tmp_path, "ca", None)
    certificate(tmp_path, "server", ca)
    certificate(tmp_path, "lab", ca)
    certificate(tmp_path, "stranger", None)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "stillwatch", "hub", "serve", "--db", "h.db", "--port", str(port)]
    command += ["--certificate", "server.pem", "--certificate-key", "server.key", "--client-ca", "ca.pem"]
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port, tmp_path
    server.terminate()
    server.wait(60)


def context(home: Path, name: str | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(home / "ca.pem"))
    if name:
        made.load_cert_chain(home / f"{name}.pem", home / f"{name}.key")
    return made


def test_only_certificates_of_the_authority_come_in_and_tls_is_1_2_at_least(mutual: tuple[int, Path]) -> None:
    port, home = mutual
    url = f"https://127.0.0.1:{port}/hub/health"
    assert httpx2.get(url, verify=context(home, "lab")).json()["status"] == "ok"
    for name in (None, "stranger"):
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(url, verify=context(home, name))
    old = context(home, "lab")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((httpx2.HTTPError, ssl.SSLError)):
        httpx2.get(url, verify=old)
