"""Options that several commands have, and the voice they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.console import stop


def place(text: str | Path) -> Path:
    """A folder that a command writes to; ends the command for an empty one, which would be the folder where it runs."""
    if not str(text):
        stop("an empty name for a folder to write to; name one, or . for this one")
    return Path(text)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file; default stillwatch.toml here, where there is one.")]
Memory = Annotated[str | None, typer.Option(help="What the engine may use before it spills to disk, such as 8GB; default 3GB.")]
Threads = Annotated[int | None, typer.Option(min=1, help="The engine's worker threads; default one per core.")]
Alarms = Annotated[
    float | None, typer.Option(min=1e-9, max=10.0, help="False campaigns to expect at most in a run without any; default 0.01.")
]

Column = Annotated[
    list[str],
    typer.Option(
        metavar="KNOWN=THEIRS", help="What the accounts file calls a known column, such as created_at=signup; as often as need be."
    ),
]
ByKey = Annotated[bool, typer.Option("--account-by-key", help="The API key is the account, even where the log names a user.")]


@dataclass(frozen=True, slots=True)
class Voice:
    """How a command speaks: one JSON object, nothing, or as to a person."""

    json: bool = False
    quiet: bool = False

    @property
    def plain(self) -> bool:
        """Whether it speaks as to a person."""
        return not (self.json or self.quiet)
