"""Who had the evidence in hand, with what, and what went in."""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from stillwatch.records import Custody
from stillwatch.store import sha256_of

#: Packages whose version may change an answer.
_PACKAGES: Final = ("duckdb", "narwhals", "numba", "numpy", "pyarrow", "scipy")


def given(path: Path, kind: str) -> dict[str, object]:
    """A file besides the logs as it stands among a run's inputs."""
    return {"file": path.name, "kind": kind, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def answered(name: str, kind: str, body: bytes) -> dict[str, object]:
    """What came over the wire, in the same form."""
    return {"file": name, "kind": kind, "bytes": len(body), "sha256": sha256(body).hexdigest()}


def of(by: str | None, now: float, seconds: float, case_file: Path) -> Custody:
    """A run's custody.

    Args:
        by: who ran it; None takes the name the system knows the user by.
        now: when it began, in epoch seconds.
        seconds: how long it took.
    """
    ended = datetime.fromtimestamp(now + seconds, UTC).isoformat(timespec="seconds")
    versions = {"python": platform.python_version(), **{p: v for p in _PACKAGES if (v := _version(p))}}
    return Custody(by or _user(), ended, versions, str(case_file.resolve()))


def key_of(inputs: Sequence[Mapping[str, object]], settings: Mapping[str, object]) -> str:
    """A digest of all that a run's answer depends on; the same run again has the same."""
    read = sorted([str(i.get("kind", "log")), str(i["sha256"])] for i in inputs)
    body = json.dumps([read, settings], sort_keys=True, separators=(",", ":"), default=str)
    return sha256(body.encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container knows a number at most
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
