"""The notebook of the documentation runs on files that a session has just written."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebooks" / "analysis.ipynb"

SOURCE = """
import pytest

@pytest.mark.lem(output_tokens=8, streaming=True, streaming_warmup_requests=0)
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_it(lem, batch_size):
    lem()
"""
OPTIONS = (
    "--lem-backend=fake",
    "--lem-idle=off",
    "--lem-windows=1",
    "--lem-warmup=off",
    "--lem-json=report.json",
    "--lem-csv=report.csv",
    "--lem-csv-cycles=cycles.csv",
    "--lem-save-stamps=stamps",
    "--lem-quality=perplexity",
)


def test_the_notebook_keeps_no_outputs():
    """It is about the reader's own files; the page stays small."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert [cell for cell in cells if cell.get("outputs")] == []
    assert NOTEBOOK.stat().st_size < 20_000


@pytest.mark.slow
@pytest.mark.parametrize("meter", ["fake:50", "none"])
def test_the_notebook_runs_from_its_first_cell_to_its_last(pytester, meter):
    """With a meter, and without: then there is no energy to draw."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name in ("ipykernel", "pandas", "polars", "plotly"):
        pytest.importorskip(name)
    pytester.makepyfile(test_it=SOURCE)
    result = pytester.runpytest_subprocess(*OPTIONS, f"--lem-meter={meter}")
    result.assert_outcomes(passed=3)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(pytester.path)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    kinds = [
        {kind for output in cell.outputs for kind in output.get("data", ())}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    drawn = [one for one in kinds if "application/vnd.plotly.v1+json" in one]
    assert len(drawn) == 3
    assert all(kinds)
