"""Commands that are imported when they are called: help, version and completion stay quick, and an extra that is not installed is missed only by who needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from stillwatch.cli.console import stop


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is: a module with a Typer ``app``; ``help`` is the first line of its docstring; ``extra`` is what it needs besides detect's packages."""

    module: str
    help: str
    extra: str | None = None


def need(module: str, extra: str | None) -> Any:
    """A module of ours; the end of the command, with one line, where it needs a package of an extra that is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "stillwatch").partition(".")[0] == "stillwatch":
            raise
        stop(f'this command needs pip install "stillwatch[{extra}]" ({error.name} is not installed)')


class Later(TyperCommand):
    """Stands for a command in lists of commands."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, callback=None, help=entry.help)
        self.entry = entry

    def get_short_help_str(self, limit: int = 0) -> str:
        """The line, whole: lists of commands wrap it."""
        return self.entry.help

    def load(self) -> Any:
        """The command itself."""
        command = typer.main.get_command(need(self.entry.module, self.entry.extra).app)
        return command.commands[self.name or ""] if isinstance(command, TyperGroup) else command


def group(entries: Mapping[str, Entry]) -> type[TyperGroup]:
    """A class of groups that hold ``entries``, before the groups that are added to it."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            below = dict(self.commands)
            self.commands.clear()
            self.commands.update({**{name: Later(name, entry) for name, entry in entries.items()}, **below})

        def get_short_help_str(self, limit: int = 0) -> str:
            return self.help or ""

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name, command, rest = super().resolve_command(ctx, args)
            return name, command.load() if isinstance(command, Later) else command, rest

    return Group
