"""A SQLite file: private, whole, of one's own kind, one writer at a time, forward only."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from stillwatch.store.sqlite import Database, DatabaseError, Kind
from tests.kit import at_once, every_break

FIRST = ("CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT",)
SECOND = ("ALTER TABLE word ADD COLUMN said INTEGER NOT NULL DEFAULT 0", "CREATE INDEX word_said ON word (said)")
OLD = Kind("word book", 0x5357_0001, [FIRST])
NEW = Kind("word book", 0x5357_0001, [FIRST, SECOND])


def say(path: Path, *words: str, kind: Kind = NEW, patience: float = 30.0) -> int:
    with Database(path, kind, patience=patience) as db:
        with db.write() as w:
            for word in words:
                w.execute("INSERT INTO word (text) VALUES (?)", (word,))
        return len(db.read("SELECT * FROM word"))


def test_the_file_is_private_even_where_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    say(path, "a")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    say(path, "b")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["w.db"]  # the file alone is everything


def test_an_older_file_is_brought_forward_and_a_newer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    say(path, "a", kind=OLD)
    assert say(path, "b", kind=NEW) == 2
    with Database(path, NEW) as db:
        assert [tuple(r) for r in db.read("SELECT text, said FROM word ORDER BY id")] == [("a", 0), ("b", 0)]
    with pytest.raises(DatabaseError, match=r"w\.db: word book of version 2, made by a newer Stillwatch \(this one knows up to 1\)"):
        say(path, kind=OLD)


def test_foreign_and_damaged_files_are_refused_in_one_line_and_left_as_they_are(tmp_path: Path) -> None:
    text, other, torn = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "torn.db"
    text.write_text("not a database, but long enough to look at: " * 50)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (x)")
    say(torn, *(f"word {i} {'x' * 200}" for i in range(200)))
    body = bytearray(torn.read_bytes())
    body[4096 * 3 : 4096 * 3 + 2000] = os.urandom(2000)
    torn.write_bytes(body)
    say(bare := tmp_path / "bare.db", "a")
    with sqlite3.connect(bare) as db:
        db.execute("DROP TABLE word")
    for path, said in (
        (text, "no SQLite file"),
        (other, "another program"),
        (torn, "damaged"),
        (bare, "damaged"),
        (tmp_path / "no" / "w.db", "cannot be opened"),
    ):
        before = path.read_bytes() if path.exists() else b""
        with pytest.raises(DatabaseError, match=said) as refused:
            say(path, "a")
        assert "\n" not in str(refused.value)
        assert str(path) in str(refused.value)
        assert (path.read_bytes() if path.exists() else b"") == before


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "w.db").touch()
    assert say(tmp_path / "w.db", "a") == 1


def test_what_fails_in_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    say(tmp_path / "w.db", "a")
    with pytest.raises(sqlite3.IntegrityError):
        say(tmp_path / "w.db", "b", "a")
    with Database(tmp_path / "w.db", NEW) as db:
        with pytest.raises(KeyboardInterrupt), db.write() as w:
            w.execute("INSERT INTO word (text) VALUES ('c')")
            raise KeyboardInterrupt
        assert [r["text"] for r in db.read("SELECT text FROM word")] == ["a"]


def test_who_waits_too_long_is_told_so(tmp_path: Path) -> None:
    say(tmp_path / "w.db", "a")
    with Database(tmp_path / "w.db", NEW) as db, db.write(), pytest.raises(DatabaseError, match="another process is writing"):
        say(tmp_path / "w.db", "b", patience=0.05)


def test_two_processes_that_make_a_file_at_once_both_write_all(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    said = at_once([lambda k=k: [say(path, f"{k}-{i}") for i in range(15)][-1] for k in range(4)])
    assert all(isinstance(s, int) for s in said), said
    assert max(said) == 60
    assert say(path) == 60


def test_a_break_at_any_write_leaves_all_or_nothing_of_a_transaction(tmp_path: Path) -> None:
    for n in every_break(lambda n: lambda: (say(tmp_path / f"{n}.db", "a", "b", kind=OLD), say(tmp_path / f"{n}.db", "c", "d", kind=NEW))):
        with Database(tmp_path / f"{n}.db", NEW) as db:
            words = "".join(r["text"] for r in db.read("SELECT text FROM word ORDER BY id"))
            assert words in ("", "ab", "abcd"), n
        missing = [w for w in "abcd" if w not in words]
        assert say(tmp_path / f"{n}.db", *missing) == 4
