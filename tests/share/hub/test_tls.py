"""TLS and mutual TLS, as the command line serves them, and with nginx in front."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
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

from stillwatch.cli.member import connected
from stillwatch.share.desk.desk import open_desk
from stillwatch.share.net.guard import WRONG_TOKENS
from stillwatch.share.wire import stix as wire
from tests.share.hub.samples import campaign_release
from tests.share.hub.test_limits import free_port


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


def joined(home: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stillwatch", "hub", "join", "--desk", "desk", "--hub", url, "--token-file", "lab.token", *more]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def desk(home: Path) -> None:
    def run(*words: str) -> str:
        done = subprocess.run([sys.executable, "-m", "stillwatch", *words], cwd=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("release", "init", "desk")
    run("hub", "enrol", "lab", "--db", "h.db", "--public-key", run("release", "key", "--desk", "desk"), "--token-file", "lab.token")


def send_and_pull(home: Path) -> None:
    """Signed objects through whatever the desk is connected by, and a pull; what the hub thinks of them is asked elsewhere."""
    lab = open_desk(home / "desk")
    client = connected(lab)
    made = campaign_release(lab.member, today=datetime.datetime.now(datetime.UTC).date())
    told = client.push([wire.sign(o, lab.key) for o in wire.objects(made)])
    assert told.stored + len(told.failures) > 3
    assert list(client.pull(None, client.directory(), today=datetime.datetime.now(datetime.UTC).date()))


def test_our_own_client_joins_pushes_and_pulls_with_a_certificate(mutual: tuple[int, Path]) -> None:
    """A25."""
    port, home = mutual
    url = f"https://127.0.0.1:{port}"
    desk(home)
    done = joined(home, url, "--ca", "ca.pem")
    assert done.returncode == 2, done.stdout
    done = joined(home, url, "--ca", "ca.pem", "--certificate", "missing.pem")
    assert "missing.pem" in done.stderr
    done = joined(home, url, "--ca", "ca.pem", "--certificate", "lab.pem", "--certificate-key", "lab.key")
    assert done.returncode == 0, done.stderr
    send_and_pull(home)


NGINX = Path(__file__).parents[3] / "packaging" / "nginx.conf"


@pytest.mark.slow
def test_nginx_in_front_ends_tls_asks_for_certificates_and_says_who_came(tmp_path: Path) -> None:
    """The configuration of packaging/, with this machine's ports and files in it."""
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed here (Debian: apt-get install nginx-light)")
    ca = certificate(tmp_path, "ca", None)
    certificate(tmp_path, "server", ca)
    certificate(tmp_path, "lab", ca)
    port, behind = free_port(), free_port()
    text = NGINX.read_text()
    for given, here in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "server_name hub.example": "server_name 127.0.0.1",
        "127.0.0.1:8470": f"127.0.0.1:{behind}",
        "/etc/stillwatch/chain.pem": str(tmp_path / "server.pem"),
        "/etc/stillwatch/key.pem": str(tmp_path / "server.key"),
        "/etc/stillwatch/members-ca.pem": str(tmp_path / "ca.pem"),
    }.items():
        assert given in text, given
        text = text.replace(given, here)
    temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""  # its workers must come into the test's folder
    main = f"{user} daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; events {{}} http {{ access_log off; {temporary} {text} }}"
    (tmp_path / "nginx.conf").write_text(main)
    hub = [sys.executable, "-m", "stillwatch", "hub", "serve", "--db", "h.db", "--port", str(behind), "--behind-proxy", "127.0.0.1"]
    running = [
        subprocess.Popen([*hub, "--url", f"https://127.0.0.1:{port}"], cwd=tmp_path, stderr=subprocess.DEVNULL),
        subprocess.Popen([program, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "error.log"]),
    ]
    url = f"https://127.0.0.1:{port}"
    try:
        with httpx2.Client(verify=context(tmp_path, "lab")) as client:
            for _ in range(600):
                try:
                    if client.get(url + "/hub/health/").status_code == 200:
                        break
                except httpx2.HTTPError:
                    pass
                time.sleep(0.05)
            # Wrong tokens are counted by the address that nginx saw, and what a client says of itself is not believed.
            wrong = [
                client.get(url + "/api/", headers={"Authorization": f"Bearer {n}", "X-Forwarded-For": f"192.0.2.{n}"}).status_code
                for n in range(WRONG_TOKENS + 1)
            ]
            assert wrong == [401] * WRONG_TOKENS + [429]
        without = httpx2.get(url + "/hub/health/", verify=context(tmp_path, None))
        assert without.status_code == 400
        desk(tmp_path)
        # The directory is asked for with a token that was never seen, from an address that tried too many.
        refused = joined(tmp_path, url, "--ca", "ca.pem", "--certificate", "lab.pem", "--certificate-key", "lab.key")
        assert "too many requests" in refused.stderr
        running[0].terminate()
        assert running[0].wait(60) == 0
        running[0] = subprocess.Popen([*hub, "--url", url], cwd=tmp_path, stderr=subprocess.DEVNULL)
        with httpx2.Client(verify=context(tmp_path, "lab")) as client:
            while client.get(url + "/hub/health/").status_code != 200:
                time.sleep(0.1)
            token = (tmp_path / "lab.token").read_text()
            found = client.get(url + "/taxii2/", headers={"Authorization": f"Bearer {token}"}).json()
            assert found["api_roots"] == [f"{url}/api/"]
        done = joined(tmp_path, url, "--ca", "ca.pem", "--certificate", "lab.pem", "--certificate-key", "lab.key")
        assert done.returncode == 0, done.stderr
        send_and_pull(tmp_path)
    finally:
        for p in running:
            p.terminate()
        for p in running:
            p.wait(60)


@pytest.mark.slow
def test_a_handshake_that_never_ends_is_closed_as_a_head_is(mutual: tuple[int, Path]) -> None:
    port, _ = mutual
    with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
        start = time.monotonic()
        silent.sendall(b"\x16\x03\x01")
        assert silent.recv(1) == b""
        assert 8 < time.monotonic() - start < 12
