"""One table of exit codes, kept by every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from stillwatch.cli import codes
from stillwatch.cli.lazy import Later
from stillwatch.cli.main import app

TABLE = {v for k, v in vars(codes).items() if k.isupper()}
#: These wait for requests, or make what they are asked to wherever it is; they get an unknown option only.
DOES_IT = {"hub serve", "key-holder serve", "key-holder enrol", "key-holder deal", "demo", "pool demo", "hub enrol", "release init"}


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(command, Later):
        yield name, command.load()
    for word, below in getattr(command, "commands", {}).items():
        yield from leaves(below, f"{name} {word}".strip())


COMMANDS = dict(leaves(get_command(app)))


def test_the_documents_table_is_the_codes_one() -> None:
    section = (Path(__file__).parents[2] / "docs" / "cli.md").read_text().split("## Exit codes")[1].split("\n## ")[0]
    assert {int(n) for n in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == TABLE


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_a_2(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "--no-such-option"])
    assert done.exit_code == codes.UNUSABLE


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - DOES_IT))
def test_what_is_not_there_is_a_2_and_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words: list[str] = []
    for p in COMMANDS[name].params:
        if p.required:
            numeric = {"first": "2026-11-01"}
            value = numeric.get(p.name, "nothing-here")
            words += [value] if p.param_type_name == "argument" else [p.opts[0]] if p.is_flag else [p.opts[0], value]
    if name == "hub audit export":
        words += ["--desk", "nothing-here"]
    done = CliRunner().invoke(app, [*name.split(), *words])
    assert done.exit_code == codes.UNUSABLE, done.output
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert re.fullmatch(r"Error: .+\n", done.output), done.output
