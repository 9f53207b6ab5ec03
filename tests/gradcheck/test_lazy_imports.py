"""What `from scratchvae.gradcheck import check` must not load: frameworks, models, pictures."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_LOADED = (
    *("torch", "jax", "jaxlib", "tensorflow", "keras", "matplotlib", "pandas", "sklearn", "pytest"),
    *(f"scratchvae.{room}" for room in ("models", "train", "ops", "nets", "data", "verify", "cli")),
    *(f"scratchvae.{room}" for room in ("evaluate", "pictures", "files")),
)
ASK = """
import sys
from scratchvae.gradcheck import check
check(lambda x: x * x, lambda dy, x: {factor} * dy * x, {{"x": __import__("numpy").arange(3.0)}})
names = {names!r}
print(*(m for m in sys.modules if any(m == n or m.startswith(n + ".") for n in names)))
"""


def loaded(folder, factor=2):
    """Modules that are loaded after a check in a fresh process that imports from that folder."""
    code = ASK.format(names=NOT_LOADED, factor=factor)
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return out.stdout.split()


@pytest.mark.parametrize("factor", [2, 3])  # a right gradient, and a wrong one that is diagnosed
def test_a_check_loads_no_framework_and_no_model(factor):
    assert loaded(ROOT, factor) == []


@pytest.mark.parametrize("planted", ["matplotlib", "scratchvae.ops"])
def test_an_import_that_is_planted_is_found(tmp_path, planted):
    pytest.importorskip(planted)
    shutil.copytree(
        ROOT / "scratchvae", tmp_path / "scratchvae", ignore=shutil.ignore_patterns("__pycache__")
    )
    checker = tmp_path / "scratchvae/gradcheck/checker.py"
    text = checker.read_text()
    checker.write_text(
        text.replace("import warnings\n", f"import warnings\n\nimport {planted}\n", 1)
    )
    assert planted in loaded(tmp_path)
