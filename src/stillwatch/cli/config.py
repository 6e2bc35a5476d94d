"""``stillwatch.toml``: what a lab sets once.  Options on the command line win over it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta, Struct

from stillwatch.cli.console import stop, words_of
from stillwatch.watch.flow import Settings

NAME: Final = "stillwatch.toml"


class Retention(Struct, frozen=True, forbid_unknown_fields=True):
    """How long what was read is kept, and where."""

    state: str | None = None
    window: Annotated[float, Meta(ge=0.01)] | None = None


class Accounts(Struct, frozen=True, forbid_unknown_fields=True):
    """How the accounts file is read."""

    columns: dict[str, str] = {}


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; docs/cli.md says what each key means."""

    memory: str | None = None
    threads: Annotated[int, Meta(ge=1)] | None = None
    max_false_alarms: Annotated[float, Meta(ge=1e-9, le=10)] | None = None
    trusted_proxies: Annotated[int, Meta(ge=0)] | None = None
    own_networks: list[str] | None = None
    retention: Retention = Retention()
    accounts: Accounts = Accounts()


class ConfigError(ValueError):
    """A settings file that cannot be used; the message names file and key and says what to do."""


def load(path: Path | None) -> tuple[File, Path]:
    """The settings of a file, of ``stillwatch.toml`` in the working directory, or none; and the folder that relative paths in it start from.

    Raises:
        ConfigError: it is named and cannot be read, or holds a key or value that is not known.
    """
    chosen = path or Path(NAME)
    if path is None and not chosen.exists():
        return File(), Path()
    try:
        data = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(words_of(error, chosen)) from None
    except ValueError as error:
        raise ConfigError(f"{chosen}: not TOML: {error}") from None
    _only_known(data, File, chosen, "")
    try:
        file = msgspec.convert(data, File)
        for network in file.own_networks or ():
            _network(network)
        if file.memory is not None:
            Settings(memory=file.memory)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise ConfigError(f"{chosen}: {where.rstrip('`') or 'the file'}: {what}") from None
    except ValueError as error:
        raise ConfigError(f"{chosen}: {error}") from None
    return file, chosen.parent


def _network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"own_networks: {error}") from None


def _only_known(data: Mapping[str, Any], kind: type[Struct], path: Path, within: str) -> None:
    known = get_type_hints(kind)
    for key, value in data.items():
        if key not in known:
            near = get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {within}{near[0]}?" if near else f"known are {', '.join(within + k for k in known)}"
            raise ConfigError(f"{path}: {within}{key}: no such setting; {hint}")
        below = known[key]
        if isinstance(below, type) and issubclass(below, Struct) and isinstance(value, dict):
            _only_known(value, below, path, f"{within}{key}.")


def settings(config: Path | None, *, keeps: bool = True, **given: Any) -> Settings:
    """What a run is asked to do: what the command line gave, then the file, then the defaults.  Ends the command where the file cannot be used.

    Args:
        keeps: False for a command that keeps no state.
        given: fields of ``Settings``; None (and an empty mapping) stands for an option that was not given.
    """
    try:
        file, folder = load(config)
        said: dict[str, Any] = {
            "memory": file.memory,
            "threads": file.threads,
            "max_false_alarms": file.max_false_alarms,
            "trusted_proxies": file.trusted_proxies,
            "own_networks": None if file.own_networks is None else tuple(file.own_networks),
            "state": folder / file.retention.state if keeps and file.retention.state is not None else None,
            "window": file.retention.window if keeps else None,
            "columns": file.accounts.columns,
        }
        said = {k: v for k, v in said.items() if v is not None}
        columns = {**said.pop("columns"), **(given.pop("columns", None) or {})}
        said |= {k: v for k, v in given.items() if v is not None}
        return Settings(columns=columns, **said)
    except ValueError as error:
        stop(str(error))
