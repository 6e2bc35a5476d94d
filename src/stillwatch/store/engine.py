"""DuckDB as the engine of the relational steps; it spills to disk when memory runs short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias

import duckdb
import narwhals as nw
import pyarrow as pa

Frame: TypeAlias = nw.LazyFrame[Any]


class Engine:
    """Runs lazy frames and keeps their results as tables.

    Args:
        folder: where the database and its spill files go.
        memory: DuckDB's memory limit, e.g. ``"4GB"``.
        threads: worker threads; None leaves it to DuckDB.
    """

    def __init__(self, folder: Path, *, memory: str = "4GB", threads: int | None = None) -> None:
        self._db = duckdb.connect(str(folder / "work.duckdb"))
        self._db.execute(f"SET memory_limit = '{memory}'")
        self._db.execute(f"SET temp_directory = '{(folder / 'spill').as_posix()}'")
        self._db.execute("SET preserve_insertion_order = false")
        if threads is not None:
            self._db.execute(f"SET threads = {int(threads)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def parquet(self, paths: Sequence[Path], schema: pa.Schema) -> Frame:
        """Parquet files as a lazy frame; columns of ``schema`` that files of an earlier version lack are null there."""
        frame: Frame = nw.from_native(self._db.read_parquet([str(p) for p in paths], union_by_name=True)).lazy()
        have, types = set(frame.collect_schema().names()), nw.Schema.from_arrow(schema)
        return frame.with_columns(nw.lit(None).cast(types[name]).alias(name) for name in schema.names if name not in have)

    def keep(self, name: str, frame: Frame | pa.Table) -> Frame:
        """Run ``frame`` once, store its rows as table ``name`` and return the table as a lazy frame."""
        if isinstance(frame, pa.Table):
            native: Any = self._db.from_arrow(frame)
        else:
            native = frame.to_native()
        with self._interruptible():
            native.create(name)
        return self.table(name)

    def add(self, name: str, rows: pa.Table) -> Frame:
        """Add rows to a kept table, columns by their place, and return the table as a lazy frame."""
        with self._interruptible():
            self._db.from_arrow(rows).insert_into(name)
        return self.table(name)

    def table(self, name: str) -> Frame:
        """A kept table as a lazy frame."""
        kept: Frame = nw.from_native(self._db.table(name)).lazy()
        return kept

    def drop(self, name: str) -> None:
        """Forget a kept table and free its room."""
        self._db.execute(f"DROP TABLE {name}")

    def fetch(self, frame: Frame) -> pa.Table:
        """Run ``frame`` and return its rows."""
        with self._interruptible():
            table: pa.Table = frame.collect(backend="pyarrow").to_native()
        return table

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let Ctrl-C stop a query.

        DuckDB gives up in the thread that it was called from, makes a RuntimeError of it and then waits for its workers, which would go on to the end; so they
        are told first.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def pressed(number: int, frame: FrameType | None) -> None:
            self._db.interrupt()
            before(number, frame)

        signal.signal(signal.SIGINT, pressed)
        try:
            yield
        except (RuntimeError, duckdb.InterruptException) as error:
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise
        finally:
            signal.signal(signal.SIGINT, before)
