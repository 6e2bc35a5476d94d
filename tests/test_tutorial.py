"""The tutorial runs as it is, and is kept without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stillwatch.range import build_world, small_world

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def test_the_tutorial_is_kept_without_outputs() -> None:
    cells = json.loads(TUTORIAL.read_text())["cells"]
    assert not [c for c in cells if c.get("outputs") or c.get("execution_count")]


def test_the_readmes_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = re.search(r"```python\n(.*?)```", (TUTORIAL.parents[1] / "README.md").read_text(), re.DOTALL)
    assert snippet
    build_world(small_world(), seed=7, out=tmp_path / "demo" / "world")
    monkeypatch.chdir(tmp_path)
    exec(snippet[1], {})
    assert "Campaign c-" in capsys.readouterr().out


def test_the_tutorial_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed here")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed here")
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [o for o in shown if o.output_type == "stream" and o.name == "stderr"]
    whole = json.dumps([o.get("data", {}) for o in shown])
    assert "<table>" in whole
    assert "Campaign c-" in whole
    assert "payment" in whole
    assert not list(tmp_path.iterdir())
