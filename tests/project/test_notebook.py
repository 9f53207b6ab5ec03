"""The tutorial: its stored output, and its output when a kernel runs it from top to bottom."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = ROOT / "examples" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def stored():
    return json.loads(PATH.read_text())


def source(cell):
    return "".join(cell["source"])


def test_it_is_small_and_was_run_in_order_without_an_error(stored):
    assert PATH.stat().st_size < 400_000
    cells = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert len([o for o in outputs if "image/png" in o.get("data", {})]) >= 6


def test_its_links_lead_to_files_that_exist(stored):
    text = "\n".join(source(c) for c in stored["cells"] if c["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) >= 5
    for link in links:
        assert (PATH.parent / link).exists(), link


# what each line gives is looked at after the last cell
RESULTS = {
    "far": "far",
    "kl": "[kl_by_formula, kl_of_training]",
    "elbo": "vae.history_[-1]['test_loss']",
    "slopes": "[difference, grads['head_W'][2, 1]]",
    "off": "off",
    "wrong": "[report.verdict, str(report)]",
    "broken": "{leaf.name: leaf.verdict for leaf in broken.leaves}",
    "healthy": "healthy.verdict",
    "gradients": "[leaf.verdict for leaf in meaningless.leaves]",
    "findings": "[f.name for f in meaningless.findings if f.verdict != 'PASS']",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))

    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    expressions = ", ".join(f"'{name}': {text}" for name, text in RESULTS.items())
    cell = f"import json\nprint(json.dumps({{{expressions}}}, default=float))"
    notebook.cells.append(nbformat.v4.new_code_cell(cell))
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=170, kernel_name="python3", resources=where).execute()
    found = json.loads(notebook.cells[-1].outputs[0].text)

    normal, box, vae = found["far"].values()
    assert vae + 0.5 < box < normal - 0.5
    assert found["kl"][0] == pytest.approx(found["kl"][1], abs=1e-2)
    assert found["elbo"] < 105
    assert found["slopes"][0] == pytest.approx(found["slopes"][1], rel=1e-6)
    assert found["off"] < 1e-12
    assert found["wrong"][0] == "FAIL"
    assert "2 x too large at all 12 entries" in found["wrong"][1]
    for name, verdict in found["broken"].items():
        assert verdict == ("FAIL" if name.startswith(("enc", "head")) else "PASS"), name
    assert found["healthy"] == "PASS"
    assert set(found["gradients"]) == {"PASS"}
    assert "KL by Monte Carlo" in found["findings"]
