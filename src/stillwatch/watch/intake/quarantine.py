"""Where rejected lines go: a JSON-lines file that lets the operator find each line again and holds none of its content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, Final

#: Entries written to the file; later ones are only counted, so that one wrong file cannot fill the disk.
MOST_ENTRIES: Final = 100_000


class Quarantine:
    """Collects what was rejected.  The file appears under its name on ``close`` only, by an atomic rename.

    ``count`` is the number of rejected lines, ``by_reason`` their number by "field: reason", ``blanked`` the number of fields left unknown in lines that
    were kept, ``repaired`` the number of lines kept after a repair by reason. Used as a context manager it closes on success; after an exception the draft
    (``.partial``) is removed, so that a broken run does not replace a good run's file.
    """

    def __init__(self, path: Path | None) -> None:
        """Start a draft beside ``path``; None keeps the entries in ``entries``.  Raises OSError when the draft cannot be written."""
        self._path = path
        self._draft = path.with_name(path.name + ".partial") if path else None
        self._file: IO[str] | None = open(self._draft, "w", encoding="utf-8", opener=_private) if self._draft else None  # noqa: SIM115
        self.count = 0
        self.by_reason: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.blanked: Counter[str] = Counter()
        self._listed = 0
        self._unlisted = 0
        self.entries: list[dict[str, object]] = []  # only filled without a path

    @classmethod
    def memory(cls) -> Quarantine:
        """Return a quarantine that keeps its entries in ``entries`` and writes no file."""
        return cls(None)

    def add(
        self, file: str, line: int | None, field: str, reason: str, *, raw: bytes | None = None, offset: int | None = None, detail: str = ""
    ) -> None:
        """Record one rejected line (``line`` counts from 1; None for a whole file).

        Of ``raw`` only the SHA-256, its length in bytes and its byte ``offset`` in the decompressed stream are kept: a rejected line may
        hold a customer's prompt.  ``reason`` is the constant phrase that is counted, ``detail`` is added to it in the file.
        """
        excerpt = "" if raw is None else f"sha256={hashlib.sha256(raw).hexdigest()} offset={offset} bytes={len(raw)}"
        self.add_digest(file, line, field, reason, excerpt=excerpt, detail=detail)

    def add_digest(self, file: str, line: int | None, field: str, reason: str, *, excerpt: str, detail: str = "") -> None:
        """Record one rejected line whose digest is known already (``excerpt`` of up to 200 characters, never content)."""
        self.count += 1
        self.by_reason[_named(field, reason)] += 1
        self._enter(file, line, field, reason, excerpt, detail)

    def blank(self, file: str, line: int | None, field: str, reason: str, detail: str = "") -> None:
        """Record a field that counts as unknown; its row is kept, so that ``count`` stays (``blanked`` counts by "field: reason")."""
        self.blanked[f"{field}: {reason}"] += 1
        self._enter(file, line, field, f"{reason}; the field is left unknown", "", detail)

    def _enter(self, file: str, line: int | None, field: str, reason: str, excerpt: str, detail: str) -> None:
        text = f"{reason} ({detail})" if detail else reason
        entry: dict[str, object] = {"file": file, "line": line, "field": field, "reason": text[:400], "excerpt": excerpt[:200]}
        if self._file is not None:
            if self._listed < MOST_ENTRIES:
                self._file.write(json.dumps(entry, ensure_ascii=True) + "\n")
                self._listed += 1
            else:
                self._unlisted += 1
        elif self._path is None:
            self.entries.append(entry)

    def add_uncounted(self, field: str, reason: str, number: int) -> None:
        """Count entries of one reason that are not written one by one."""
        self.count += number
        self.by_reason[_named(field, reason)] += number
        self._unlisted += number

    def times(self, field: str, reason: str) -> int:
        """How many lines were rejected for one reason."""
        return self.by_reason[_named(field, reason)]

    def repair(self, reason: str, times: int = 1) -> None:
        """Count lines that are kept although something in them had to be mended or left out."""
        if times:
            self.repaired[reason] += times

    @property
    def room(self) -> int:
        """How many more entries will be written one by one."""
        return MOST_ENTRIES - self._listed

    def so_far(self) -> Path | None:
        """Return the draft with all entries of until now in it, to be copied; None without a file."""
        if self._file is not None:
            self._file.flush()
        return self._draft if self._file is not None else self._path

    def close(self) -> None:
        """Write the file under its name.  A second call does nothing."""
        if self._path is not None:
            self.move(self._path)

    def move(self, path: Path) -> None:
        """Write the file under another name, to be put in place with others.  After this, or ``close``, it does nothing."""
        if self._file is None or self._draft is None:
            return
        if self._unlisted:
            told = f"{self._unlisted} more entries were only counted"
            self._file.write(json.dumps({"file": "", "line": None, "field": "", "reason": told, "excerpt": ""}) + "\n")
        try:
            self._file.close()
            self._draft.replace(path)
        except OSError:
            self._drop()
            raise
        self._file = None

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._drop()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None and self._draft is not None:
            self._draft.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what was not written yet may find no room any more
                file.close()


def _named(field: str, reason: str) -> str:
    return f"{field}: {reason}" if field else reason


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
