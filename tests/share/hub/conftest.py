"""A hub with three members, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

import stillwatch.share.release as door
from stillwatch.share.hub.database import Database, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.hub.taxii import MEDIA
from stillwatch.share.net import gate as gates
from stillwatch.share.net.access import new_token
from stillwatch.share.net.guard import Guard
from stillwatch.share.wire import stix as wire
from tests.share.hub.samples import NOW, campaign_release, sealed, statements_of


@dataclass
class Lab:
    """A member as the tests know it."""

    name: str
    key: Ed25519PrivateKey
    token: str

    @property
    def id(self) -> str:
        return wire.key_id(self.key.public_key())

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": MEDIA}

    def signed(self, number: int = 0, **more: Any) -> list[dict[str, Any]]:
        """The signed objects of a campaign of this lab."""
        return self.sealed(wire.objects(self.release(number, **more)))

    def sealed(self, objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Objects as this lab sends them: approved and signed."""
        return sealed(objects, self.key)

    def release(self, number: int = 0, **more: Any) -> door.Release:
        return campaign_release(self.id, number, **more)


@dataclass
class Exchange:
    """A hub under test."""

    hub: Hub
    db: Database
    labs: dict[str, Lab]
    collection: str
    now: list[float] = field(default_factory=lambda: [NOW])

    def client(self) -> TestClient:
        return TestClient(self.hub.app(), raise_server_exceptions=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL cluster of this session's own, on loopback."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL's server programs are not installed (Debian: apt-get install postgresql)")
    home = Path(tempfile.mkdtemp(prefix="stillwatch-pg-", dir="/tmp"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # its server refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid}
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    subprocess.run(
        [found[-1], "-D", home / "data", "-U", "hub", "-A", "trust", "--no-sync"], check=True, capture_output=True, cwd="/", **user
    )
    options = ["-D", home / "data", "-p", str(port), "-k", home, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = subprocess.Popen(
        [found[-1].parent / "postgres", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **user
    )
    try:
        for _ in range(100):
            if subprocess.run([found[-1].parent / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql://hub@127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    server = request.getfixturevalue("postgresql")
    return new_database(server)


def new_database(server: str) -> str:
    import pg8000.native

    port = int(server.rpartition(":")[2].strip("/"))
    name = f"t{os.getpid()}_{time.monotonic_ns()}"
    c = pg8000.native.Connection("hub", host="127.0.0.1", port=port, database="postgres")
    c.run(f"CREATE DATABASE {name}")
    c.close()
    return server + name


@pytest.fixture
def make_exchange() -> Callable[..., Exchange]:
    made: list[Database] = []

    def make(url: str, **limits: Any) -> Exchange:
        db = Database(open_database(url))
        made.append(db)
        now = [NOW]
        hub = Hub(
            db, origin="hub.example/log", key=Ed25519PrivateKey.from_private_bytes(b"h" * 32), limits=Limits(**limits), clock=lambda: now[0]
        )
        labs = {}
        with db.write() as c:
            ident = db.ensure_collection(c, "signals", "Signals", 1)
            for n, name in enumerate("abc"):
                lab = labs[name] = Lab(name, Ed25519PrivateKey.from_private_bytes(bytes([n + 1]) * 32), new_token())
                db.enrol(c, name, owner=name, role="security", token=lab.token, public=lab.key.public_key(), now=1)
                db.allow(c, name, ident, can_read=True, can_write=True, now=1)
                db.state_persons(c, name, statements_of(lab.key), 1)
            for name, role, can in (
                ("reader", "security", (True, False)),
                ("writer", "security", (False, True)),
                ("stranger", "security", None),
                ("operator", "operator", None),
            ):
                lab = labs[name] = Lab(name, Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)[:32]), new_token())
                db.enrol(c, name, owner=name, role=role, token=lab.token, public=lab.key.public_key(), now=1)
                if can:
                    db.allow(c, name, ident, can_read=can[0], can_write=can[1], now=1)
                    db.state_persons(c, name, statements_of(lab.key), 1)
        return Exchange(hub, db, labs, ident, now)

    yield make  # type: ignore[misc]
    for db in made:
        db.close()


@pytest.fixture
def exchange(url: str, make_exchange: Callable[..., Exchange]) -> Exchange:
    """A hub on either database."""
    return make_exchange(url, requests=1e6, burst=1e6)


@pytest.fixture
def light(tmp_path: Path, make_exchange: Callable[..., Exchange]) -> Exchange:
    """A hub on SQLite, where the database makes no difference."""
    return make_exchange(f"sqlite:///{tmp_path / 'light.db'}", requests=1e6, burst=1e6)


@pytest.fixture
def gated() -> Iterator[Callable[..., int]]:
    """Serve an application behind a gate in this process; gives the port."""
    running: list[tuple[gates.Server, threading.Thread]] = []

    def serve(app: Any, total: int = 100, per_address: int = 100) -> int:
        gate = gates.Gate(socket.AF_INET, total, per_address)
        gate.bind(("127.0.0.1", 0))
        gate.setblocking(False)
        port = int(gate.getsockname()[1])
        config = uvicorn.Config(
            Guard(app),
            http=partial(gates.Protocol, gate),
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            timeout_keep_alive=60,
        )  # type: ignore[arg-type]
        server = gates.Server(config, gate)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [gate]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread))
        return port

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(30)
