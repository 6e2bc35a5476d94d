"""The store: migrations, writers that take turns, and a server that is killed under load."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.share.hub.database import HEAD, Database, HubError, Incoming, Member, open_database, upgrade
from stillwatch.share.hub.tables import metadata, objects
from stillwatch.share.hub.taxii import MEDIA
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire import vocabulary
from tests.share.hub.samples import campaign_release, sealed, statements_of

ROOT = Path(__file__).parents[3]


def test_migrations_make_the_tables_of_the_code(url: str) -> None:
    engine = open_database(url)
    with engine.connect() as c:
        assert compare_metadata(MigrationContext.configure(c), metadata) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_the_code_names() -> None:
    newest = max(p.name for p in (ROOT / "src/stillwatch/share/hub/migrations/versions").glob("*.py"))
    assert newest.startswith(HEAD + "_")


def test_a_newer_a_foreign_and_a_damaged_database_are_one_clear_line(tmp_path: Path) -> None:
    def said(prepare: Callable[[Path], object]) -> str:
        path = tmp_path / f"{uuid4()}.db"
        prepare(path)
        with pytest.raises(HubError) as told:
            open_database(str(path))
        assert "\n" not in str(told.value)
        return str(told.value)

    def newer(path: Path) -> None:
        open_database(str(path)).dispose()
        with closing(sqlite3.connect(path)) as c, c:
            c.execute("UPDATE alembic_version SET version_num = '9999'")

    def foreign(path: Path) -> None:
        with closing(sqlite3.connect(path)) as c, c:
            c.execute("CREATE TABLE members (id INTEGER)")

    def damaged(path: Path) -> None:
        open_database(str(path)).dispose()
        body = bytearray(path.read_bytes())
        body[100:4096] = bytes(3996)
        path.write_bytes(body)

    assert "newer version" in said(newer) and "upgrade" in said(newer)
    assert "another program's" in said(foreign)
    assert "backup" in said(damaged)
    assert "backup" in said(lambda p: p.write_bytes(b"no database at all, but a text that somebody put there"))


def test_an_older_database_is_brought_up_to_date_and_keeps_what_it_has(url: str) -> None:
    """From each version that there ever was."""
    versions = sorted(p.name[:4] for p in (ROOT / "src/stillwatch/share/hub/migrations/versions").glob("*.py"))
    engine = open_database(url)
    for version in versions:
        with engine.begin() as c:
            metadata.drop_all(c)
            c.exec_driver_sql("DROP TABLE alembic_version")
        upgrade(engine, version)
        with engine.begin() as c:
            c.exec_driver_sql("INSERT INTO collections (id, alias, title, last_added) VALUES ('c', 'signals', 'Signals', 0)")
            made = "INSERT INTO objects (collection, id, type, version, at, added, member, about, expires, digest, is_first, is_last, body) VALUES"
            text = "X'78'" if engine.dialect.name == "sqlite" else "'x'::bytea"
            c.exec_driver_sql(f"{made} ('c', 'campaign--1', 'campaign', 'v', 7, 1, 'lab', '', '2099-01-01', 'd', true, true, {text})")
            if version >= "0003":
                c.exec_driver_sql(
                    "INSERT INTO ids (collection, id, member, at, ended, number, since, networks) VALUES ('c', 'campaign--1', 'lab', 7, '', 0, 1, 0)"
                )
        again = Database(open_database(url))
        with again.read() as c:
            assert again.collection(c, "signals").title == "Signals"
            assert compare_metadata(MigrationContext.configure(c), metadata) == []
            assert again.campaigns(c, "c", ["campaign--1"]) == {"campaign--1": ("lab", "", b"x")}
        again.close()
    engine.dispose()


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "mysql+nothing://x/y"])
def test_a_database_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises((HubError, sa.exc.SQLAlchemyError), match=r"."):
        open_database(url)


def test_a_change_that_fails_leaves_nothing_behind(url: str) -> None:
    db = Database(open_database(url))
    with pytest.raises(RuntimeError), db.write() as c:
        db.ensure_collection(c, "gone", "Gone", 1)
        db.record(c, "x", {"y": 1}, 1)
        raise RuntimeError
    with db.read() as c:
        assert db.collection(c, "gone") is None
        assert db.log_size(c) == 0
    db.close()


def test_writers_take_turns_and_a_reader_that_goes_on_misses_nothing(url: str) -> None:
    """Four writers on connections of their own; a reader that always goes on after the last number it saw sees each row once."""
    first = Database(open_database(url))
    with first.write() as c:
        collection = first.ensure_collection(c, "signals", "Signals", 1)
    done = threading.Event()
    member = Member("m", "m", "security", (), frozenset(), {}, {})

    def write(n: int) -> None:
        db = Database(open_database(url))
        for i in range(25):
            with db.write() as c:
                db.add(c, collection, member, [Incoming(f"x--{n}-{i}-{k}", "x", "1", 1, "", "2030-01-01", b"{}") for k in range(4)], 5)
                db.record(c, "contribution", {"n": n, "i": i}, 5)
        db.close()

    seen: list[int] = []

    def read() -> None:
        while True:
            last_round = done.is_set()
            with first.read() as c:
                query = sa.select(objects.c.seq, objects.c.added).where(objects.c.seq > (seen[-1] if seen else 0), objects.c.member == "m")
                seen.extend(r.seq for r in c.execute(query.order_by(objects.c.seq)))
            if last_round:
                return

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in (reader, *writers):
        t.start()
    for t in writers:
        t.join()
    done.set()
    reader.join()
    with first.read() as c:
        rows = c.execute(sa.select(objects.c.seq, objects.c.added).where(objects.c.member == "m").order_by(objects.c.seq)).all()
        assert seen == [r.seq for r in rows]
        assert len(rows) == 400
        assert [r.added for r in rows] == sorted({r.added for r in rows})
        assert first.log_size(c) == 100
        first.checkpoint(c)
    first.close()


@pytest.mark.slow
def test_killed_under_load_nothing_that_was_acknowledged_is_lost(url: str, tmp_path: Path) -> None:
    """kill -9, again and again, while three clients post; what got 202 is there afterwards, and the log still holds together."""
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    member = wire.key_id(key.public_key())
    db = Database(open_database(url))
    with db.write() as c:
        collection = db.ensure_collection(c, "signals", "Signals", 1)
        db.enrol(c, "a", owner="a", role="security", token="t", public=key.public_key(), now=1)
        db.allow(c, "a", collection, can_read=True, can_write=True, now=1)
        db.state_persons(c, "a", statements_of(key), 1)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "stillwatch",
        "hub",
        "serve",
        "--db",
        url,
        "--port",
        str(port),
        "--key",
        str(tmp_path / "hub.key"),
        "--rate",
        "100000",
    ]
    headers = {"Authorization": "Bearer t", "Content-Type": MEDIA}
    acknowledged: set[str] = set()
    number = iter(range(10**6))
    stop = threading.Event()

    def post() -> None:
        while not stop.is_set():
            made = [campaign_release(member, next(number), networks=0, today=datetime.now(UTC).date()) for _ in range(3)]
            signed = sealed([wire.objects(r)[0] for r in made], key)
            try:
                answer = httpx2.post(
                    f"http://127.0.0.1:{port}/api/collections/signals/objects/",
                    headers=headers,
                    content=json.dumps({"objects": signed}),
                    timeout=5,
                )
                if answer.status_code == 202:
                    acknowledged.update(x["id"] for x in answer.json()["successes"])
            except httpx2.HTTPError:
                time.sleep(0.05)

    clients = [threading.Thread(target=post) for _ in range(3)]
    for t in clients:
        t.start()
    kills = 0
    while kills < 4:
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
        before, since = len(acknowledged), time.monotonic()
        while len(acknowledged) < before + 30 and time.monotonic() - since < 60:
            time.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        server.wait()
        kills += 1
    stop.set()
    for t in clients:
        t.join()
    assert len(acknowledged) >= 120
    again = Database(open_database(url))
    with again.read() as c:
        stored = {r.id for r in c.execute(sa.select(objects.c.id).where(objects.c.collection == collection))}
        assert acknowledged <= stored
        logged: set[str] = set()
        size, head = again.checkpoint(c)
        rows: list[Any] = again.entries(c, 0, size)
        for r in rows:
            logged |= {x[0] for x in json.loads(r.detail).get("stored", ())}
        assert stored - set(vocabulary.constants()) <= logged
        assert len(rows) == size
        from tests.share.hub.test_log import twin

        assert twin([r.entry for r in rows]) == head
    again.close()
    db.close()


def test_the_server_stops_gracefully(tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "stillwatch",
        "hub",
        "serve",
        "--db",
        str(tmp_path / "h.db"),
        "--port",
        str(port),
        "--key",
        str(tmp_path / "k"),
    ]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/hub/health").status_code == 200:
                break
        except httpx2.HTTPError:
            time.sleep(0.05)
    server.send_signal(signal.SIGTERM)
    _, told = server.communicate(timeout=60)
    assert server.returncode == 0
    assert any(json.loads(x)["event"] == "listening" for x in told.splitlines())
    assert not (tmp_path / "h.db-wal").exists()
    with closing(sqlite3.connect(tmp_path / "h.db")) as c:
        assert c.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "h.db").stat().st_mode & 0o777 == 0o600
