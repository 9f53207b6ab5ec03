"""The package as a whole: what importing it costs, and the rules that its modules keep."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scratchvae

ROOT = Path(scratchvae.__file__).parent
MODELS = ("vae", "autoencoder", "iwae", "cvae", "m2", "kl", "classes", "parameters", "estimator")
MATHEMATICS = ("ops.py", "nets.py", "models/losses.py", *(f"models/{name}.py" for name in MODELS))
STUDENTS_PATH = ("ops.py", "nets.py", "models/vae.py")


def imports(path):
    """The modules that a file imports at its top level, relative ones with their dots."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from ("." * node.level + (node.module or "") + f":{a.name}" for a in node.names)


def test_importing_it_loads_nothing_that_is_slow():
    slow = ("matplotlib", "cupy", "tqdm", "sklearn")
    code = f"import sys, scratchvae; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MATHEMATICS)
def test_the_mathematics_does_not_know_numpy(name):
    used = set(imports(ROOT / name))
    assert not {m for m in used if m.split(".")[0] in ("numpy", "cupy")}
    assert "np." not in (ROOT / name).read_text()


def test_only_backend_imports_cupy():
    for path in ROOT.rglob("*.py"):
        if re.search(r"^\s*(import|from) cupy", path.read_text(), re.MULTILINE):
            assert path == ROOT / "backend" / "__init__.py"


def test_what_a_student_reads_stays_short():
    assert sum(len((ROOT / name).read_text().splitlines()) for name in STUDENTS_PATH) < 500


def test_every_module_says_what_it_is():
    for path in ROOT.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_public_names():
    for name in scratchvae.__all__:
        assert hasattr(scratchvae, name)
    assert {"VAE", "Autoencoder", "load_data", "load_model"} <= set(scratchvae.__all__)


def test_nothing_draws_random_numbers_behind_ones_back():
    """Noise is keyed; the only generators with state are the checker's."""
    for path in ROOT.rglob("*.py"):
        if "gradcheck" not in path.parts:
            assert "np.random" not in path.read_text(), path
