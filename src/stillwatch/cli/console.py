"""How commands speak.  Everything that is printed passes through here, for ids come from logs and words from partners."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from stillwatch.cli import codes, interrupt
from stillwatch.foreign import shown

if TYPE_CHECKING:
    from rich.table import Table


def say(text: object = "", *, error: bool = False) -> None:
    """Print a line, to standard error if ``error``; control characters in it become visible escapes."""
    print(shown(text), file=sys.stderr if error else sys.stdout)


def say_json(value: object) -> None:
    """Print one JSON object on one line, in ASCII."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f"))


def row(table: Table, *cells: object) -> None:
    """Add a row of plain text to a table: no markup, no control characters."""
    from rich.text import Text  # noqa: PLC0415 - a version or an error needs none

    table.add_row(*(Text(shown(c)) for c in cells))


def stop(message: str, code: int = codes.UNUSABLE) -> NoReturn:
    """Print an error on one line and end the command."""
    say("Error: " + " ".join(message.split("\n")), error=True)
    raise typer.Exit(code)


def stopped(message: str = "Stopped.") -> NoReturn:
    """End the command after Ctrl-C."""
    interrupt.ignore()
    say(message, error=True)
    raise typer.Exit(codes.STOPPED) from None


_ADVICE: Final = {
    errno.EEXIST: "is a file where a folder is needed; name another",
    errno.ENOTDIR: "is a file where a folder is needed; name another",
    errno.ENOENT: "is not there",
    errno.EISDIR: "is a folder where a file is needed",
    errno.EACCES: "may not be read or written by this user",
    errno.EPERM: "may not be read or written by this user",
    errno.EROFS: "lies on a disk that cannot be written",
}
_FULL: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "a file would be larger than is allowed here",
}


def words_of(error: OSError, place: Path | None = None) -> str:
    """What the system refused, where, and what to do; ``place`` is where a run puts its results, said where the error names no file."""
    if (full := _FULL.get(error.errno or 0)) is not None:
        if place is None:  # a run that has a place for its results says so; this is whatever else was written to, standard output too
            return f"the output could not be written: {full}"
        return f"{place}: {full}; nothing was put in place. Free some room and run the same command again"
    what = _ADVICE.get(error.errno or 0) or error.strerror or str(error)
    where = error.filename or place
    return f"{where}: {what}" if where else what
