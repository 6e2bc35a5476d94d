"""Digests of files as they lie on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 20


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal.  Raises OSError where it cannot be read."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sha256_at(file: Path, sizes: Iterable[int]) -> dict[int, str]:
    """Size -> SHA-256 of so many bytes from the file's beginning, all in one reading; sizes beyond its end are left out."""
    found = {}
    digest, done = hashlib.sha256(), 0
    with file.open("rb") as source:
        for size in sorted(set(sizes)):
            while done < size and (chunk := source.read(min(_CHUNK, size - done))):
                digest.update(chunk)
                done += len(chunk)
            if done < size:
                break
            found[size] = digest.copy().hexdigest()
    return found
