"""What all commands print alike."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console


def stop(message: str) -> NoReturn:
    """Print an error and end with 2."""
    console = Console(stderr=True)
    console.print("[bold red]Error:[/bold red] ", end="")
    console.print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)
