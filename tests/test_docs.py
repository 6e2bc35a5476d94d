"""What the documents say is true: commands run as written, options are the real ones, links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from stillwatch.cli.lazy import Later
from stillwatch.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / n for n in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").rglob("*.md"))


def console_blocks() -> list[list[tuple[str, str]]]:
    """(command, expected output) of each console block of the README."""
    blocks = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
        blocks.append(list(zip(parts[::2], parts[1::2], strict=True)))
    return blocks


def matches(expected: str, output: str) -> bool:
    """Whether the output has the expected lines in order, ``...`` standing for anything."""
    pieces = [re.escape(p.strip()) for p in expected.strip().split("...")]
    return re.search(".*".join(pieces), output, re.DOTALL) is not None


def test_the_readmes_commands_run_as_written(tmp_path: Path) -> None:
    ran, servers = [], []
    (tmp_path / "specs").symlink_to(ROOT / "specs")  # the README speaks from the repository's folder
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    try:
        for block in console_blocks():
            for command, expected in block:
                if command.startswith("make "):
                    assert re.search(rf"^{command}$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE), f".ci/run does not run {command}"
                    continue
                ran.append(" ".join(re.findall(r"stillwatch ([a-z-]+(?: [a-z]+)?)", command)[-1:]))
                if command.endswith("&"):
                    servers.append(subprocess.Popen(command.rstrip("& "), shell=True, cwd=tmp_path, env=env, start_new_session=True))
                    continue
                done = subprocess.run(command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                assert matches(expected, done.stdout), done.stdout
    finally:
        for s in servers:
            os.killpg(s.pid, signal.SIGTERM)
            s.wait(60)
    story = {
        "demo",
        "detect demo",
        "explain found",
        "range build",
        "range score",
        "release prepare",
        "release approve",
        "hub push",
        "hub watch",
        "hub contribute",
    }
    assert story <= set(ran)


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(words, command) of every command that does something."""
    if isinstance(command, Later):
        command = command.load()
    for word, below in getattr(command, "commands", {}).items():
        yield from leaves(below, f"{name} {word}".strip())
    if not hasattr(command, "commands"):
        yield name, command


def test_each_command_is_listed_with_the_first_line_of_its_help() -> None:
    def listed(command: Any) -> Iterator[Later]:
        for below in getattr(command, "commands", {}).values():
            yield from listed(below)
        if isinstance(command, Later):
            yield command

    for one in listed(get_command(app)):
        assert one.entry.help == " ".join(one.load().help.split("\n\n")[0].split()), one.name


def test_documented_options_are_the_real_ones() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    sections = {re.match(r"([a-z -]+?) *(?:[A-Z]|$)", s.splitlines()[0])[1]: s for s in text.split("## stillwatch ")[1:]}  # type: ignore[index]
    commands = dict(leaves(get_command(app)))
    assert set(sections) == set(commands)
    for name, command in commands.items():
        real = {o for p in command.params if p.param_type_name == "option" for o in p.opts} - {"--help"}
        assert set(re.findall(r"^\| `(--[a-z-]+)`", sections[name], re.MULTILINE)) == real


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_tests_that_documents_name_are_there() -> None:
    written = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    for path in DOCS:
        for name in set(re.findall(r"`(test_[a-z0-9_]+)`", path.read_text())):
            assert f"def {name}(" in written, f"{path.name}: {name}"


def test_room_contracts_hold() -> None:
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("import-linter is not installed here")
    done = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_of_this_machine_is_in_the_repository() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile("/wo" + r"rk/|/home/\w|/ro" + "ot/|TO" + "DO|FIX" + "ME|index-" + "url [^-]")
    for name in names:
        if name.endswith((".png", ".parquet")) or name == "LICENSE":
            continue
        found = forbidden.search((ROOT / name).read_text(encoding="utf-8"))
        assert not found, f"{name}: {found.group() if found else ''}"


@pytest.mark.browser
def test_chromium_shows_the_report_without_errors(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    from stillwatch.range import build_world, small_world
    from stillwatch.watch.flow import Progress, Settings, detect

    build_world(small_world(), seed=7, out=tmp_path)
    detect(Settings([str(tmp_path / "calls.jsonl.gz")], tmp_path / "found", tmp_path / "accounts.csv"), Progress(), now=1.8e9)
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
    ]
    page = (tmp_path / "found" / "report.html").as_uri()
    done = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.count("<svg") >= 3
    assert "CONSOLE" not in done.stderr
