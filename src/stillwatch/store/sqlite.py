"""A SQLite file, opened safely: private, of a known kind and version, whole, and with one writer at a time.

The journal is SQLite's rollback journal with ``synchronous = EXTRA``, not a write-ahead log: writes here are few and short, the file alone is then everything
(a copy of it is a backup once no process holds it), nothing is shared in memory, so it works where ``--out`` is on a network, and what was committed outlasts a
power cut.  Readers wait while a writer commits, for milliseconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

#: Seconds to wait for another process's transaction.
PATIENCE: Final = 30.0


class DatabaseError(ValueError):
    """A file that cannot be worked with; the message is one line that names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is.

    ``mark`` is written into the file's head (``application_id``), so that another program's file is never taken for one's own; ``steps`` are the statements
    that lead from each version to the next, from the empty file on: the version is their number.  Steps that were released never change.
    """

    name: str  # for messages, e.g. "case file"
    mark: int  # 1 to 2**31 - 1
    steps: Sequence[Sequence[str]]


class Database:
    """One connection to a file of a kind; the file is made with mode 0600 if it is not there.

    Raises:
        DatabaseError: the file is damaged, foreign, newer than this program, busy, or cannot be opened.
    """

    def __init__(self, path: Path, kind: Kind, *, patience: float = PATIENCE) -> None:
        self.path, self.kind = path, kind
        with self._said():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, timeout=patience, isolation_level=None)
        try:
            with self._said():
                self._db.row_factory = sqlite3.Row
                for pragma in ("foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON", "synchronous = EXTRA"):
                    self._db.execute(f"PRAGMA {pragma}")
                self._migrate()
                for (said,) in self._db.execute("PRAGMA quick_check(1)"):
                    if said != "ok":
                        raise DatabaseError(self._damaged(said))
                if path.stat().st_mode & 0o077:
                    path.chmod(0o600)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def read(self, sql: str, *values: object) -> list[Any]:
        """The rows of a query; columns by name or place."""
        with self._said():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, begun as the only writer: all that is done in it, reading too, happens as a whole or not at all.

        Raises:
            DatabaseError: another process wrote for longer than one's patience, or the disk is full.
        """
        with self._said():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _migrate(self) -> None:
        self._db.execute("BEGIN")  # one look: between two of them another process may make the file
        try:
            version = self._version()
        finally:
            self._db.execute("ROLLBACK")
        if version == len(self.kind.steps):
            return
        with self.write() as db:  # asked again as the only writer: two processes may open a new file at once
            version = self._version()
            for step in self.kind.steps[version:]:
                for statement in step:
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {self.kind.mark:d}")
            db.execute(f"PRAGMA user_version = {len(self.kind.steps):d}")

    def _version(self) -> int:
        """The file's version; 0 for an empty one."""
        mark, version, tables = (
            int(self._db.execute(f"SELECT {what}").fetchone()[0])
            for what in (
                "application_id FROM pragma_application_id",
                "user_version FROM pragma_user_version",
                "count(*) FROM sqlite_schema",
            )
        )
        if mark == 0 and tables == 0:
            return 0
        if mark != self.kind.mark:
            raise DatabaseError(f"{self.path}: a database of another program, no {self.kind.name} of Stillwatch; name or move it elsewhere")
        if version > len(self.kind.steps):
            raise DatabaseError(
                f"{self.path}: {self.kind.name} of version {version}, made by a newer Stillwatch (this one knows up to {len(self.kind.steps)}); use that one"
            )
        return version

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Foreign exceptions as one line that says what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None) or 0
            match code & 0xFF:  # the primary code
                case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                    why = "another process is writing to it; try again"
                case sqlite3.SQLITE_FULL:
                    why = "the disk is full; make room and run the same command again"
                case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                    why = "cannot be written; check who owns it and its folder"
                case sqlite3.SQLITE_NOTADB:
                    why = f"no SQLite file, so no {self.kind.name}; move it away or restore it"
                case sqlite3.SQLITE_OK | sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISUSE | sqlite3.SQLITE_RANGE:
                    raise  # our own mistake
                case _:
                    raise DatabaseError(self._damaged(str(error))) from None
            raise DatabaseError(f"{self.path}: {why}") from None
        except OSError as error:
            raise DatabaseError(f"{self.path}: cannot be opened ({error.strerror})") from None

    def _damaged(self, how: str) -> str:
        return f"{self.path}: the {self.kind.name} is damaged ({' '.join(how.split())}); move it away or restore it from a backup"
