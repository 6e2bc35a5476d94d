"""What could not be read, and why.  Nothing is lost: each entry says where in the source the line stands."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class IntakeError(Exception):
    """The input as a whole cannot be used; the text names the file and says what to do."""


class Quarantine:
    """Collects rejected lines as JSON lines {file, line, offset, bytes, sha256, field, reason}.

    A rejected line may hold a customer's prompt, so its content is not copied: file, line, byte offset and digest find it again in the source.

    Args:
        path: where the entries go; None keeps only the counts (and ``entries``).
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part") if path else None
        self._file: IO[str] | None = self._part.open("w", encoding="utf-8") if self._part else None
        self.count = 0
        self.by_reason: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.entries: list[dict[str, object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        elif self._file and self._part:
            self._file.close()
            self._part.unlink(missing_ok=True)

    def add(self, file: str, line: int, field: str, reason: str, raw: bytes = b"", offset: int | None = None) -> None:
        """Reject one line (1-based; 0 means the file as a whole)."""
        entry: dict[str, object] = {"file": file, "line": line, "offset": offset, "bytes": len(raw), "field": field, "reason": reason}
        if raw:
            entry["sha256"] = hashlib.sha256(raw).hexdigest()
        self.count += 1
        self.by_reason[f"{field}: {reason}" if field else reason] += 1
        if self._file:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        else:
            self.entries.append(entry)

    def close(self) -> None:
        """Put the file in its place."""
        if self._file and self._part and self._path and not self._file.closed:
            self._file.close()
            self._part.replace(self._path)
