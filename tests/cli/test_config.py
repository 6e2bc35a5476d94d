"""stillwatch.toml: what it may say, what wins, what its errors name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from msgspec import Struct
from typer.testing import CliRunner

from stillwatch.cli import codes
from stillwatch.cli.config import File, load, settings
from stillwatch.cli.main import app

DOC = Path(__file__).parents[2] / "docs" / "cli.md"
WHOLE = """
memory = "500MB"
threads = 2
max_false_alarms = 0.5
trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]
account_by_key = true

[retention]
state = "kept"
window = 30

[accounts.columns]
created_at = "signup"
"""


def keys(kind: type[Struct] = File, within: str = "") -> Iterator[str]:
    for name, below in get_type_hints(kind).items():
        if isinstance(below, type) and issubclass(below, Struct):
            yield from keys(below, f"{within}{name}.")
        else:
            yield f"{within}{name}"


def detect(tmp_path: Path, *words: str) -> Any:
    (tmp_path / "log.jsonl").write_text("")
    return CliRunner().invoke(app, ["detect", str(tmp_path / "log.jsonl"), "--out", str(tmp_path / "out"), *words])


def test_every_setting_is_documented() -> None:
    section = DOC.read_text().split("## stillwatch.toml")[1]
    assert set(re.findall(r"^\| `([a-z_.]+)`", section, re.MULTILINE)) == set(keys())


def test_the_documented_example_is_one(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", DOC.read_text().split("## stillwatch.toml")[1], re.DOTALL)
    assert example
    (tmp_path / "stillwatch.toml").write_text(example[1])
    load(tmp_path / "stillwatch.toml")


def test_the_file_is_used_and_the_command_line_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stillwatch.toml").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    said = settings(None, logs=["x"], out=Path("found"), threads=3, max_false_alarms=None)
    assert (said.memory, said.threads, said.max_false_alarms, said.account_by_key) == ("500MB", 3, 0.5, True)
    assert said.trusted_proxies == ("10.0.0.0/8", "2001:db8::/32")
    assert (said.state, said.window, said.columns) == (Path("kept"), 30, {"created_at": "signup"})
    assert settings(None, column=["created_at=made", "email=mail"]).columns == {"created_at": "made", "email": "mail"}
    assert settings(None, keeps=False, logs=["x"]).state is None
    (tmp_path / "stillwatch.toml").write_text("trusted_proxies = 2\n")
    assert settings(None).trusted_proxies == 2
    assert settings(None, account_by_key=True).account_by_key
    assert not settings(None, account_by_key=False).account_by_key


def test_paths_in_the_file_start_from_it(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[retention]\nstate = "kept"\n')
    assert settings(tmp_path / "other.toml").state == tmp_path / "kept"


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (settings(None).memory, settings(None).max_false_alarms, settings(None).state) == ("3GB", 0.01, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('memroy = "8GB"', "memroy: no such setting; did you mean memory?"),
        ("[retention]\nwindows = 3", "retention.windows: no such setting; did you mean retention.window?"),
        ("[zzz]\na = 1", "zzz: no such setting; known are memory,"),
        ("threads = 0", "threads: Expected `int` >= 1"),
        ('threads = "two"', "threads: Expected `int | null`, got `str`"),
        ('memory = "lots"', "memory: lots is no amount such as 8GB"),
        ('trusted_proxies = ["10.0.0.0/33"]', "trusted_proxies: '10.0.0.0/33'"),
        ("trusted_proxies = -1", "trusted_proxies: Expected `int` >= 0"),
        ('[accounts.columns]\ncreated = "signup"', "accounts.columns.created: no such column; did you mean created_at?"),
        ("threads = ", "not TOML"),
    ],
)
def test_an_error_names_file_and_key(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "stillwatch.toml").write_text(text)
    done = detect(tmp_path, "--config", str(tmp_path / "stillwatch.toml"))
    assert done.exit_code == codes.UNUSABLE
    assert said in done.output
    assert "stillwatch.toml" in done.output
    assert done.output.count("\n") == 1


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert "nowhere.toml: is not there" in detect(tmp_path, "--config", str(tmp_path / "nowhere.toml")).output
