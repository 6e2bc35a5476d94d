"""What a hub's operator does: look, check, back up, put back; members' tokens; and what a member sends before it knows whom it speaks to."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.share.hub import operate
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.database import DAY, Database, HubError, open_database
from stillwatch.share.net.access import ClientError, connection, new_token
from stillwatch.share.tlog import log as tree
from tests.share.hub.conftest import Exchange
from tests.share.hub.test_limits import free_port, healthy

KEY = Ed25519PrivateKey.from_private_bytes(b"h" * 32)
ORIGIN = "hub.example/log"
WHEN = 1_790_000_000_000_000


def stillwatch(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(w) for w in words])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def filled(url: str, entries: int = 3) -> Database:
    db = Database(open_database(url))
    with db.write() as c:
        ident = db.ensure_collection(c, "signals", "Signals", 1)
        db.enrol(c, "a", owner="a", role="security", token="t", public=KEY.public_key(), now=1)
        db.allow(c, "a", ident, can_read=True, can_write=True, now=1)
        for n in range(entries):
            db.record(c, "x", {"n": n}, n)
    return db


def faults(db: Database) -> list[str]:
    with db.read() as c:
        return list(operate.check(db, c))


# Checking


@pytest.mark.parametrize("entries", [0, 1, 5, 250])
def test_a_whole_hub_has_no_faults(url: str, entries: int) -> None:
    db = filled(url, entries)
    assert faults(db) == []
    db.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE log SET detail = salt WHERE number = 3", "the detail of entry 3"),
        ("UPDATE log SET entry = salt WHERE number = 3", "entry 3 is none"),
        ("DELETE FROM log WHERE number = 3", "entry 3 is missing"),
        ("DELETE FROM log WHERE number = (SELECT max(number) FROM log)", "nodes"),
        ("UPDATE nodes SET hash = (SELECT hash FROM nodes WHERE level = 0 AND number = 0) WHERE level = 1 AND number = 1", "node 1/1"),
        ("DELETE FROM nodes WHERE level = 1 AND number = 0", "node 1/0"),
        ("UPDATE objects SET body = CAST(digest AS BLOB) WHERE seq = 2", "its bytes"),
        ("UPDATE objects SET is_last = NOT is_last WHERE seq = 2", "marked wrongly"),
        ("INSERT INTO cosignatures VALUES (999, 'a', 'x')", "cosignatures"),
        ("UPDATE collections SET last_added = 0", "newer than it knows"),
    ],
)
def test_each_change_by_hand_is_found(url: str, change: str, said: str) -> None:
    db = filled(url, 8)
    with db.write() as c:
        if c.dialect.name == "postgresql":
            change = change.replace("CAST(digest AS BLOB)", "decode(digest, 'hex')")
        c.exec_driver_sql(change)
    found = faults(db)
    assert any(said in line for line in found), found
    db.close()


def test_a_log_made_anew_with_all_its_hashes_is_found_by_its_checkpoint(url: str) -> None:
    db = filled(url, 8)
    with db.write() as c:
        size, head = db.checkpoint(c)
        note = tree.read_checkpoint(tree.checkpoint_text(ORIGIN, size, head) + "\n")
        assert list(operate.check(db, c, note)) == []
        for table in ("log", "nodes"):
            c.exec_driver_sql(f"DELETE FROM {table}")
        for n in range(size):
            db.record(c, "y", {"n": n}, n)
        assert list(operate.check(db, c)) == []
        assert any("not those that the checkpoint signed" in line for line in operate.check(db, c, note))
    db.close()


# Backups


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hub.key").write_bytes(KEY.private_bytes_raw())
    (tmp_path / "hub.key").chmod(0o600)
    return tmp_path


def test_a_backup_is_whole_while_the_hub_is_written_to(home: Path) -> None:
    db = filled("hub.db")
    stop, n = threading.Event(), [0]

    def write() -> None:
        while not stop.is_set():
            with db.write() as c:
                db.record(c, "x", {"n": n[0]}, n[0])
            n[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(3):
        stillwatch("hub", "backup", f"b{number}.db")
        time.sleep(0.1)
    stop.set()
    writer.join()
    assert n[0] > 3
    sizes = []
    for number in range(3):
        note = tree.verify_note((home / f"b{number}.db.checkpoint").read_text(), ORIGIN, KEY.public_key())
        sizes.append(note.size)
        assert (home / f"b{number}.db").stat().st_mode & 0o777 == 0o600
        told = json.loads(stillwatch("hub", "check", "--db", f"b{number}.db", "--json").stdout)
        assert (told["log_entries"], told["log_root"], told["faults"]) == (note.size, note.root.hex(), [])
    assert sizes == sorted(sizes)
    assert "is there already" in stillwatch("hub", "backup", "b0.db", code=2).stderr
    db.close()


def test_restore_goes_back_and_says_so_in_the_log_signed(home: Path, make_exchange: Callable[..., Exchange]) -> None:
    """A27: the statement names the head that was lost and the one gone back to; it is an entry of the log, with its salt."""
    db = filled("hub.db")
    stillwatch("hub", "backup", "night.db")
    with db.read() as c:
        size, root = db.checkpoint(c)
    with db.write() as c:
        for n in range(5):
            db.record(c, "lost", {"n": n}, n)
        lost_size, lost_root = db.checkpoint(c)
    with db.read():  # as a hub that is being served
        assert "in use" in stillwatch("hub", "restore", "night.db", code=2).stderr
    db.close()
    stillwatch("hub", "restore", "night.db")
    assert len(list(home.glob("hub.db.before-*"))) == 1
    assert not list(home.glob("*-wal"))
    exchange = make_exchange("hub.db", requests=1e6, burst=1e6)  # enrols a of its own
    with exchange.client() as t:
        (said,) = t.get("/log/restored/", headers=exchange.labs["b"].headers).json()["restored"]
    assert said["number"] == size
    detail = dict(said["detail"])
    assert sha256(bytes.fromhex(said["salt"]) + rfc8785.dumps(detail)).hexdigest() == said["entry"]["detail"]
    signature = bytes.fromhex(detail.pop("signature"))
    KEY.public_key().verify(signature, tree.RESTORED.encode() + b"\n" + rfc8785.dumps(detail))
    assert (detail["size"], detail["root"], detail["origin"]) == (size, root.hex(), ORIGIN)
    lost = tree.verify_note(detail["lost"], ORIGIN, KEY.public_key())
    assert (lost.size, lost.root) == (lost_size, lost_root)
    # The log goes on from what it went back to.
    with exchange.db.read() as c:
        now_size = exchange.db.log_size(c)
        proof = tree.consistency(size, now_size, lambda level, number: exchange.db.node(c, level, number))
        tree.verify_consistency(size, now_size, proof, root, exchange.db.checkpoint(c)[1])
        assert list(operate.check(exchange.db, c)) == []


@pytest.fixture
def make_exchange(make_exchange: Callable[..., Exchange], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Exchange]:
    """As everywhere, but of a hub that may have a member of that name."""
    enrol = Database.enrol

    def once(self: Database, c: Any, name: str, **more: Any) -> None:
        if name not in {m["name"] for m in operate.list_members(c, WHEN)}:
            enrol(self, c, name, **more)

    monkeypatch.setattr(Database, "enrol", once)
    monkeypatch.setattr(Database, "state_persons", lambda *_: 0)  # whose key is another than the tests' labs have
    return make_exchange


def test_a_backup_that_does_not_check_is_not_put_in_place(home: Path) -> None:
    filled("hub.db").close()
    before = json.loads(stillwatch("hub", "check", "--json").stdout)
    for n, change in enumerate(["UPDATE log SET detail = salt WHERE number = 1", "DELETE FROM nodes WHERE level = 1"]):
        stillwatch("hub", "backup", f"b{n}.db")
        with closing(sqlite3.connect(f"b{n}.db")) as c, c:
            c.execute(change)
        assert "does not check" in stillwatch("hub", "restore", f"b{n}.db", code=2).stderr
    stillwatch("hub", "backup", "c.db")
    Path("c.db.checkpoint").write_text("nonsense")
    assert "not a checkpoint" in stillwatch("hub", "restore", "c.db", code=2).stderr
    Path("d.db").write_bytes(b"x" * 10_000)
    shutil.copy("b0.db.checkpoint", "d.db.checkpoint")
    stillwatch("hub", "restore", "d.db", code=2)
    stillwatch("hub", "restore", "nothing.db", code=2)
    assert json.loads(stillwatch("hub", "check", "--json").stdout) == before
    assert not list(home.glob("*.new*"))


def test_a_damaged_hub_can_be_put_back(home: Path) -> None:
    filled("hub.db").close()
    stillwatch("hub", "backup", "night.db")
    Path("hub.db").write_bytes(os.urandom(20_000))
    stillwatch("hub", "restore", "night.db")
    db = Database(open_database("hub.db"))
    with db.read() as c:
        assert operate.restorations(c)[0]["detail"]["lost"] is None
    assert faults(db) == []
    db.close()


def test_postgresql_is_backed_up_by_its_own_tools_and_the_statement_by_ours(postgresql: str, home: Path) -> None:
    from tests.share.hub.conftest import new_database

    url = new_database(postgresql)
    db = filled(url)
    assert "pg_dump" in stillwatch("hub", "backup", "b.db", "--db", url, code=2).stderr
    assert "pg_restore" in stillwatch("hub", "restore", "b.db", "--db", url, code=2).stderr
    stillwatch("hub", "restore", "--db", url)
    with db.read() as c:
        assert operate.restorations(c)[0]["entry"]["kind"] == "restored"
    assert faults(db) == []
    db.close()


# Databases that cannot be used


COMMANDS = [
    "members",
    "keys",
    "status",
    "check",
    "enrol x",
    "revoke a",
    "rotate a",
    "reinstate a",
    "backup b.db",
    "audit export --out o",
    "serve",
]


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("state", ["damaged", "newer", "foreign", "torn"])
def test_a_database_that_cannot_be_used_is_one_line(home: Path, words: str, state: str) -> None:
    """A24."""
    filled("hub.db", 300).close()
    raw = Path("hub.db").read_bytes()
    if state == "damaged":
        Path("hub.db").write_bytes(b"garbage!" * 4096)
    elif state == "torn":  # its first page is whole, all others are not
        Path("hub.db").write_bytes(raw[:4096] + bytes(len(raw) - 4096))
    else:
        with closing(sqlite3.connect("hub.db")) as c, c:
            c.execute("UPDATE alembic_version SET version_num = '9999'" if state == "newer" else "DROP TABLE alembic_version")
    done = CliRunner().invoke(app, ["hub", *words.split(), "--db", "hub.db"])
    assert done.exit_code in (1, 2), (done.output, done.exception)
    assert isinstance(done.exception, SystemExit), done.exception
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 or (words == "check" and done.exit_code == 1), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("words", ["members", "keys", "status", "check", "revoke a", "rotate a", "reinstate a", "backup b.db"])
def test_a_name_that_was_mistyped_makes_no_database(home: Path, words: str) -> None:
    assert "no such database" in stillwatch("hub", *words.split(), "--db", "hbu.db", code=2).stderr
    assert not Path("hbu.db").exists()


# Tokens of members


def test_tokens_overlap_expire_and_come_back(exchange: Exchange) -> None:
    a, db = exchange.labs["a"], exchange.db
    now = int(exchange.now[0] * 1e6)
    new = {"Authorization": f"Bearer {(second := new_token())}"}
    with exchange.client() as t:
        assert t.get("/api/", headers=a.headers).status_code == 200
        with db.write() as c:
            db.rotate(c, "a", second, now, until=now + 10 * DAY, overlap=DAY)
        assert [t.get("/api/", headers=h).status_code for h in (a.headers, new)] == [200, 200]
        exchange.now[0] += 86_401
        assert [t.get("/api/", headers=h).status_code for h in (a.headers, new)] == [401, 200]
        exchange.now[0] += 10 * 86_400
        assert t.get("/api/", headers=new).status_code == 401
        now = int(exchange.now[0] * 1e6)
        with db.write() as c:
            assert operate.list_members(c, now)[0]["state"] == "expired"
            db.rotate(c, "a", a.token, now, until=now + 40 * DAY)
        assert [t.get("/api/", headers=h).status_code for h in (a.headers, new)] == [200, 401]
        # Without an overlap a stolen token ends at once; and a revoked member's old one with it.
        with db.write() as c:
            db.rotate(c, "a", second, now, overlap=DAY)
            db.revoke(c, "a", now)
        assert [t.get("/api/", headers=h).status_code for h in (a.headers, new)] == [401, 401]
        third = {"Authorization": f"Bearer {(token := new_token())}"}
        with db.write() as c:
            operate.reinstate(db, c, "a", token, now, now + 20 * DAY)
            with pytest.raises(HubError, match="not revoked"):
                operate.reinstate(db, c, "a", token, now)
        assert [t.get("/api/", headers=h).status_code for h in (a.headers, new, third)] == [401, 401, 200]
        keys = t.get("/hub/keys/", headers=third).json()["members"]
        assert [k["retired"] for m in keys for k in m["keys"] if k["key"] == a.id] == [False]
        with db.read() as c:
            told = operate.status(db, c, now)
        assert any(w.startswith("a: its token ends on") for w in told["warnings"])
        assert any(w.startswith("b: its token has no end") for w in told["warnings"])
    with db.read() as c:  # written down at the end, by the day
        used = {m["name"]: m["last_used"] for m in operate.list_members(c, now)}
        kinds = [json.loads(r.entry)["kind"] for r in db.entries(c, 0, 1000)]
    assert (len(used["a"]), used["b"]) == (10, None)
    assert kinds.count("member-reinstated") == 1


def test_the_operator_s_commands(home: Path) -> None:
    filled("hub.db").close()
    stillwatch("hub", "enrol", "b", "--token-file", "b.token", "--expires", 10)
    stillwatch("hub", "rotate", "a", "--token-file", "a.token", "--overlap", 0)
    stillwatch("hub", "revoke", "a")
    assert "no such member" in stillwatch("hub", "reinstate", "nobody", code=2).stderr
    stillwatch("hub", "reinstate", "a", "--token-file", "a2.token")
    found = {m["name"]: m for m in json.loads(stillwatch("hub", "members", "--json").stdout)["members"]}
    assert (found["a"]["state"], found["b"]["state"], found["b"]["rights"]) == ("valid", "expires soon", {"signals": "r"})
    assert found["a"]["key"] == json.loads(stillwatch("hub", "keys", "--json").stdout)["keys"][0]["key"]
    told = json.loads(stillwatch("hub", "status", "--json").stdout)
    assert (told["members"], told["revoked"], told["database"]) == (2, 0, "sqlite")
    assert any(w.startswith("b: its token ends on") for w in told["warnings"])
    for words in ("members", "keys", "status"):
        assert "Error" not in stillwatch("hub", words).output
    assert "Whole:" in stillwatch("hub", "check").stdout


# The end of a server


def test_sigterm_finishes_what_runs_folds_the_log_and_ends_with_0(home: Path) -> None:
    """A23."""
    filled("hub.db").close()
    port = free_port()
    stillwatch("hub", "rotate", "a", "--token-file", "a.token")
    headers = {"Authorization": f"Bearer {Path('a.token').read_text()}"}
    server = subprocess.Popen([sys.executable, "-m", "stillwatch", "hub", "serve", "--port", str(port)], stderr=subprocess.DEVNULL)
    while not healthy(f"http://127.0.0.1:{port}/hub/health/"):
        time.sleep(0.1)
    client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers)
    assert client.get("/api/collections/signals/objects/").status_code == 200  # logged as a read
    answer: list[int] = []

    def body() -> Iterator[bytes]:
        yield b'{"ta'
        time.sleep(1)
        yield b'gs": []}'

    running = threading.Thread(target=lambda: answer.append(client.post("/hub/tokens/withdraw/", content=body()).status_code))
    running.start()
    time.sleep(0.5)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    running.join()
    assert answer == [200]
    shutil.copy("hub.db", "copy.db")  # and nothing else
    assert not Path("hub.db-wal").exists()
    db = Database(open_database("copy.db"))
    assert faults(db) == []
    with db.read() as c:
        assert [json.loads(r.entry)["kind"] for r in db.entries(c, 0, 100)].count("read") == 1
        assert operate.list_members(c, WHEN)[0]["last_used"] is not None
    db.close()


def test_a_port_that_is_taken_and_plain_http_beyond_this_machine_are_one_line(home: Path) -> None:
    port = free_port()
    with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler):
        assert "in use" in stillwatch("hub", "serve", "--port", port, code=2).stderr
    for program in ("hub", "key-holder"):
        assert "--behind-proxy" in stillwatch(program, "serve", "--host", "0.0.0.0", code=2).stderr
        assert "proxy's address" in stillwatch(program, "serve", "--host", "0.0.0.0", "--behind-proxy", "*", code=2).stderr


# Joining


class Recorder(BaseHTTPRequestHandler):
    """A hub that is none: keeps what it is sent."""

    seen: ClassVar[list[str]] = []
    log = "hub.example/log+00000000+AAAA"

    def do_GET(self) -> None:
        Recorder.seen.append(str(self.headers.get("authorization")))
        body = json.dumps({"status": "ok", "log": self.log}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_no_token_leaves_before_the_log_s_key_was_confirmed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stillwatch("release", "init", "desk")
    Path("t").write_text("secret-token")
    monkeypatch.setattr(Recorder, "log", tree.verifier_key(ORIGIN, KEY.public_key()))
    Recorder.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = f"http://127.0.0.1:{server.server_port}"
    try:
        other = tree.verifier_key(ORIGIN, Ed25519PrivateKey.generate().public_key())
        done = stillwatch("hub", "join", "--desk", "desk", "--hub", hub, "--token-file", "t", "--log-key", other, code=3)
        assert "nothing was sent" in done.stderr
        monkeypatch.setattr("stillwatch.cli.member.is_loopback", lambda _: False)  # as if it were another machine
        assert "--log-key" in stillwatch("hub", "join", "--desk", "desk", "--hub", hub, "--token-file", "t", code=2).stderr
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr(Recorder, "log", "nonsense")
        assert "no hub" in stillwatch("hub", "join", "--desk", "desk", "--hub", hub, "--token-file", "t", code=2).stderr
        assert Recorder.seen == ["None"] * 3
    finally:
        server.shutdown()
        server.server_close()


def test_joining_with_the_right_key_or_on_this_machine(home: Path, served: Callable[[Any], str], light: Exchange) -> None:
    stillwatch("release", "init", "desk")
    public = stillwatch("release", "key", "--desk", "desk").stdout.strip()
    token = new_token()
    from stillwatch.share.desk.desk import public_of

    with light.db.write() as c:
        light.db.enrol(c, "joiner", owner="joiner", role="security", token=token, public=public_of(public), now=1)
    Path("t").write_text(token)
    hub = served(light.hub.app())
    key = tree.verifier_key(ORIGIN, light.hub.key.public_key())
    done = stillwatch("hub", "join", "--desk", "desk", "--hub", hub, "--token-file", "t")
    assert f"Taken as it is shown, for nobody was there to be asked: the log's key is {key}" in done.stdout
    done = stillwatch("hub", "join", "--desk", "desk", "--hub", hub, "--token-file", "t", "--log-key", key)
    assert f"Joined {hub}; log {key}" in done.stdout


@pytest.mark.parametrize(("typed", "seen"), [("n", ["None"]), ("y", ["None", "Bearer secret-token"])])
def test_at_a_terminal_the_log_s_name_and_key_are_shown_and_asked_about(
    home: Path, monkeypatch: pytest.MonkeyPatch, typed: str, seen: list[str]
) -> None:
    stillwatch("release", "init", "desk")
    Path("t").write_text("secret-token")
    key = tree.verifier_key(ORIGIN, KEY.public_key())
    monkeypatch.setattr(Recorder, "log", key)
    Recorder.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "stillwatch", "hub", "join", "--desk", "desk", "--hub", f"http://127.0.0.1:{server.server_port}"]
    try:
        os.write(keyboard, f"{typed}\n".encode())
        done = subprocess.run([*command, "--token-file", "t"], stdin=terminal, capture_output=True, text=True)
        assert ORIGIN in done.stdout
        assert key.partition("+")[2] in done.stdout
        assert Recorder.seen == seen
        if typed == "n":
            assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (2, "Error: not joined; nothing was sent")
    finally:
        server.shutdown()
        server.server_close()
        os.close(keyboard)
        os.close(terminal)


@pytest.mark.parametrize(
    "url", ["http://hub.example", "http://192.0.2.1:8470", "http://127.0.0.1.example", "ftp://127.0.0.1", "hub.example"]
)
def test_a_client_speaks_plain_http_to_this_machine_alone(url: str) -> None:
    with pytest.raises(ClientError, match=r"https://"):
        HubClient(url, "t")
    with pytest.raises(ClientError, match=r"https://"):
        connection(url, timeout=1)


def test_a_client_speaks_to_this_machine_by_any_of_its_names() -> None:
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.8.8.8", "https://hub.example"):
        HubClient(url, "t").http.close()
    with pytest.raises(ClientError, match=r"none\.pem"):
        connection("https://hub.example", timeout=1, ca="none.pem")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed here")
    text = (Path(__file__).parents[3] / "packaging" / "stillwatch-hub.service").read_text()
    unit = tmp_path / "stillwatch-hub.service"
    unit.write_text(text.replace("/opt/stillwatch/bin/stillwatch", "/bin/true"))
    done = subprocess.run([program, "verify", "--man=no", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
