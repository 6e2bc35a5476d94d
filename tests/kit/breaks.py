"""A process that dies at the n-th write, as by ``kill -9``: no handler and no ``finally`` runs.

A write is what others can see or what makes it last: fsync, rename, replace, link, unlink, mkdir, rmdir, and every statement that changes a SQLite file.
The process is forked, so what the test has set up is there and a break costs milliseconds.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

WRITES = ("fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "ftruncate")
STATEMENTS = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "PRAGMA USER_VERSION =", "PRAGMA APPLICATION_ID =")
_DONE, _FAILED = 0, 70


def break_after(n: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process that dies right after its n-th write (0: before the first); whether it died.

    Raises:
        AssertionError: ``work`` raised; its traceback is on standard error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            _count(n)
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(_FAILED)
        os._exit(_DONE)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    assert os.WEXITSTATUS(status) == _DONE, f"the work failed before its write {n}"
    return False


def every_break(work: Callable[[int], Callable[[], object]], *, step: int = 1) -> Iterator[int]:
    """Break ``work(n)`` after write n, for n = 0, ``step``, ... until it runs through; yields n after each break, for the test to look at what is left."""
    n = 0
    while break_after(n, work(n)):
        yield n
        n += step
    assert n, "nothing was written"


def _count(n: int) -> None:
    left = n

    def tick() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if n == 0:  # dies when the first is tried
        left = 1

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            if n == 0:
                tick()
            done = real(*args, **more)
            tick()
            return done

        return call

    for name in WRITES:
        setattr(os, name, counted(getattr(os, name)))

    class Counted(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            real = super().execute
            return (counted(real) if sql.lstrip().upper().startswith(STATEMENTS) else real)(sql, *args)

        def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
            return counted(super().executemany)(sql, *args)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **more: connect(*args, **{**more, "factory": Counted})  # type: ignore[assignment]
