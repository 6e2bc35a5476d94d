"""Help, version and a bare import load no engine, no numerics and no hub; a missing extra is said in one line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {
    "numpy",
    "scipy",
    "numba",
    "pyarrow",
    "duckdb",
    "narwhals",
    "jinja2",
    "rich",
    "sqlalchemy",
    "alembic",
    "starlette",
    "uvicorn",
    "httpx2",
    "cryptography",
}
LOADED = "import sys; print('LOADED', *sorted({m.partition('.')[0] for m in sys.modules}))"


def loaded(script: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize(
    "words", ["--help", "--version", "detect --help", "explain --help", "demo --help", "hub --help", "hub audit --help", "range --help"]
)
def test_help_and_version_load_nothing_heavy(words: str) -> None:
    script = f"""
import atexit, sys
atexit.register(lambda: exec({LOADED!r}))
sys.argv = ["stillwatch", *{words.split()!r}]
from stillwatch.__main__ import main
main()
"""
    assert not loaded(script) & HEAVY


def test_a_desk_needs_no_engine_and_no_numerics() -> None:
    """A lab's side of sharing reads and signs small files; nor shall the gate that imports the same records need more."""
    script = f"import stillwatch.cli.release, stillwatch.cli.member, stillwatch.records, stillwatch.share.desk.sharing; {LOADED}"
    assert not loaded(script) & {
        "numpy",
        "scipy",
        "numba",
        "pyarrow",
        "duckdb",
        "narwhals",
        "sqlalchemy",
        "alembic",
        "starlette",
        "uvicorn",
    }


def test_a_bare_import_loads_nothing_heavy() -> None:
    assert not loaded(f"import stillwatch; {LOADED}") & (HEAVY | {"typer"})


def test_python_m_stillwatch_works() -> None:
    done = subprocess.run([sys.executable, "-m", "stillwatch", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("stillwatch 0.")
    assert done.stderr == ""


def test_completion_names_commands_and_options() -> None:
    def completed(words: str) -> str:
        place = str(len(words.split()) - (not words.endswith(" ")))
        env = {**os.environ, "_STILLWATCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place}
        return subprocess.run([sys.executable, "-m", "stillwatch"], env=env, capture_output=True, text=True, check=False).stdout

    assert {"detect", "hub", "key-holder"} <= set(completed("stillwatch ").split())
    assert "--fail-on-found" in completed("stillwatch detect --f")
