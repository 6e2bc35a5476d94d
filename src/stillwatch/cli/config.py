"""``stillwatch.toml``: what a lab sets once.  Options on the command line win over it."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta, Struct

from stillwatch.cli.console import stop, words_of
from stillwatch.watch.flow import Settings
from stillwatch.watch.intake import IntakeError, mapping
from stillwatch.watch.intake.columns import KNOWN

NAME: Final = "stillwatch.toml"


class Retention(Struct, frozen=True, forbid_unknown_fields=True):
    """How long what was read is kept, and where."""

    state: Annotated[str, Meta(min_length=1)] | None = None
    window: Annotated[float, Meta(ge=0.01)] | None = None


class Accounts(Struct, frozen=True, forbid_unknown_fields=True):
    """How the accounts file is read."""

    columns: dict[str, str] = {}


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; docs/cli.md says what each key means."""

    memory: str | None = None
    threads: Annotated[int, Meta(ge=1)] | None = None
    max_false_alarms: Annotated[float, Meta(ge=1e-9, le=10)] | None = None
    trusted_proxies: Annotated[int, Meta(ge=0)] | list[str] | None = None
    account_by_key: bool | None = None
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
        if isinstance(file.trusted_proxies, list):
            _networks(file.trusted_proxies)
        for column in file.accounts.columns:
            if column not in KNOWN:
                raise ValueError(f"accounts.columns.{column}: no such column; {_hint(column, KNOWN, '')}")
        if file.memory is not None:
            Settings(memory=file.memory)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise ConfigError(f"{chosen}: {where.rstrip('`') or 'the file'}: {what}") from None
    except ValueError as error:
        raise ConfigError(f"{chosen}: {error}") from None
    return file, chosen.parent


def _networks(texts: list[str]) -> None:
    try:
        for text in texts:
            ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"trusted_proxies: {error}; give their number, or networks such as 10.0.0.0/8") from None


def _hint(key: str, known: Collection[str], within: str) -> str:
    near = get_close_matches(key, known, 1, 0.5)
    return f"did you mean {within}{near[0]}?" if near else f"known are {', '.join(within + k for k in known)}"


def _only_known(data: Mapping[str, Any], kind: type[Struct], path: Path, within: str) -> None:
    known = get_type_hints(kind)
    for key, value in data.items():
        if key not in known:
            raise ConfigError(f"{path}: {within}{key}: no such setting; {_hint(key, known, within)}")
        below = known[key]
        if isinstance(below, type) and issubclass(below, Struct) and isinstance(value, dict):
            _only_known(value, below, path, f"{within}{key}.")


def settings(config: Path | None, *, keeps: bool = True, **given: Any) -> Settings:
    """What a run is asked to do: what the command line gave, then the file, then the defaults.  Ends the command where the file cannot be used.

    Args:
        keeps: False for a command that keeps no state.
        given: fields of ``Settings``, and ``column``: words KNOWN=THEIRS; None, False or none stands for an option that was not given.
    """
    try:
        file, folder = load(config)
        said: dict[str, Any] = {
            "memory": file.memory,
            "threads": file.threads,
            "max_false_alarms": file.max_false_alarms,
            "trusted_proxies": tuple(file.trusted_proxies) if isinstance(file.trusted_proxies, list) else file.trusted_proxies,
            "account_by_key": file.account_by_key,
            "state": folder / file.retention.state if keeps and file.retention.state is not None else None,
            "window": file.retention.window if keeps else None,
        }
        columns = {**file.accounts.columns, **mapping(given.pop("column", ()))}
        said |= {k: v for k, v in given.items() if v is not None and v is not False}
        chosen = config or Path(NAME)
        return Settings(columns=columns, config=chosen if chosen.exists() else None, **{k: v for k, v in said.items() if v is not None})
    except (IntakeError, ValueError) as error:
        stop(str(error))
