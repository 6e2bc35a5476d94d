"""How commands speak.  Everything that is printed passes through here, for ids come from logs and words from partners."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, NoReturn

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


def words_of(error: OSError) -> str:
    """What the system said, with the file it was about."""
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what
