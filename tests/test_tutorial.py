"""The tutorial runs as it is, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def test_the_tutorial_is_kept_without_outputs() -> None:
    cells = json.loads(TUTORIAL.read_text())["cells"]
    assert not [c for c in cells if c.get("outputs") or c.get("execution_count")]


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
