"""The folder of a run while it goes on.  It holds customers' prompts in clear, so what a killed run left is removed when the next one starts beside it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = ".work-"


class Work:
    """A folder ``.work-*`` of this process alone, mode 0700; a lock in it tells others that its run is alive.

    Making one first removes those beside it that no process holds.  The kernel lets go of a lock however its process ends.

    Args:
        beside: the folder to make it in.
    """

    def __init__(self, beside: Path) -> None:
        for left in sorted(beside.glob(f"{_PREFIX}*")):
            _remove_if_dead(left)
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=beside))
            held = _hold(self.folder)
            if held is not None:
                self._lock = held
                return

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _hold(folder: Path) -> int | None:
    """The lock of a folder, or None where another has it or has removed the folder between its making and this."""
    place = folder / "lock"
    try:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), place.stat()):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _remove_if_dead(folder: Path) -> None:
    held = _hold(folder) if folder.is_dir() and not folder.is_symlink() else None
    if held is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
