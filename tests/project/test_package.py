"""The package as a whole: what importing it costs, and the rules that its modules keep."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scratchvae
from scratchvae import data, gradcheck, models, startup

ROOT = Path(scratchvae.__file__).parent
# where models meet data and files, on the host; every other module of models runs on any device
HOST = {"__init__", "bounds", "labelled", "model"}
MODELS = sorted(f"models/{p.name}" for p in (ROOT / "models").glob("*.py") if p.stem not in HOST)
MATHEMATICS = ("ops.py", "nets.py", *MODELS)


def imports(path):
    """The modules that a file imports at its top level, relative ones with their dots."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from ("." * node.level + (node.module or "") + f":{a.name}" for a in node.names)


def in_a_new_process(code, **options):
    """What the code prints where nothing has been imported before."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    return done.stdout.strip()


def modules_loaded_by(statement):
    return in_a_new_process(f"{statement}; import sys; print(*sys.modules)").split()


def test_importing_the_models_loads_nothing_that_is_slow():
    loaded = modules_loaded_by("from scratchvae import *")
    assert not {"matplotlib", "cupy", "tqdm", "sklearn"} & set(loaded)


def test_importing_a_model_loads_no_other_and_no_reader_of_files():
    loaded = set(modules_loaded_by("from scratchvae import VAE"))
    own = {f"scratchvae.{name}" for name in ("data.batches", "models.model", "models.vae")}
    assert own <= loaded
    others = ("autoencoder", "cvae", "iwae", "labelled", "load", "m2")
    readers = ("arrays", "foreign", "idx", "load", "shapes", "sources", "strokes", "tables")
    unused = {f"scratchvae.models.{name}" for name in others}
    unused |= {f"scratchvae.data.{name}" for name in readers}
    assert not loaded & (unused | {"hashlib", "scratchvae.cli", "scratchvae.evaluate"})


@pytest.mark.parametrize(
    "name", ["data.strokes", "data.shapes", "data.tables", "models.losses", "models.load"]
)
def test_a_module_of_a_room_is_an_attribute_of_it(name):
    code = f"import scratchvae; print(scratchvae.{name}.__name__)"
    assert in_a_new_process(code) == f"scratchvae.{name}"


def test_importing_the_package_loads_nothing_but_the_names_of_the_checker():
    loaded = modules_loaded_by("import scratchvae")
    own = {m for m in loaded if m.split(".")[0] == "scratchvae"}
    assert own == {"scratchvae", "scratchvae.gradcheck", "scratchvae.startup", "scratchvae.version"}
    assert "numpy" not in loaded


@pytest.mark.parametrize("name", ["check", "check_file", "inputs", "mutation_score", "strategies"])
def test_the_checker_loads_only_the_backend_and_the_errors(name):
    loaded = modules_loaded_by(f"from scratchvae.gradcheck import {name}")
    rooms = {m.split(".")[1] for m in loaded if m.startswith("scratchvae.")}
    assert rooms <= {"backend", "errors", "gradcheck", "startup", "version"}


def test_the_checker_works_without_the_rest_of_the_package(tmp_path):
    for name in ("backend", "gradcheck"):
        shutil.copytree(ROOT / name, tmp_path / "alone" / name)
    shutil.copy(ROOT / "errors.py", tmp_path / "alone")
    code = """if True:
        import sys
        import numpy as np
        from alone.gradcheck import *
        from alone.gradcheck.strategies import InputError, inputs_of
        x = {"x": np.array([1.0, 2.0])}
        print(check(lambda x: x * x, lambda dy, x: 2 * dy * x, x).verdict)
        print(check(lambda x: x * x, lambda dy, x: dy * x, x).verdict)
        try:
            inputs_of("relu")
        except InputError as error:
            print(error)
        assert "scratchvae" not in sys.modules and "check_op" not in globals()
    """
    right, wrong, refused = in_a_new_process(code, cwd=tmp_path).splitlines()
    assert (right, wrong) == ("PASS", "FAIL")
    assert refused.startswith("'relu' has no shapes")


@pytest.mark.parametrize(
    "code",
    [
        "import scratchvae.gradcheck as g; print(g.check_op('log_prior_ratio').verdict)",
        "from scratchvae.gradcheck import check_op; print(check_op('log_prior_ratio').verdict)",
        "from scratchvae.gradcheck import *; print(check_op('unknown_class').verdict)",
        """if True:
            from scratchvae.gradcheck import check, draw_inputs
            from scratchvae.backend.registry import OPS
            f = OPS["unknown_class"]
            print(check(f.forward, f.backward, draw_inputs("unknown_class")).verdict)""",
        """if True:
            from scratchvae.gradcheck.strategies import inputs_of
            print("PASS" if inputs_of("unknown_class") else "")""",
        """if True:
            from scratchvae.gradcheck import check_model
            from scratchvae import Autoencoder
            model = Autoencoder(latent_dim=1, hidden=(), dtype="float64")
            print(check_model(model, [[0.1, 0.2], [0.3, 0.4]], steps=2).verdict)""",
        """if True:
            from scratchvae.verify import BUGS
            print("PASS" if len(BUGS) == 35 else "")""",
        """if True:
            import pickle
            from scratchvae import *
            print("PASS" if pickle.loads(pickle.dumps((VAE, InputError)))[0] is VAE else "")""",
        "import scratchvae as s; print('PASS' if s.ops.relu and s.evaluate.evaluate else '')",
    ],
)
def test_every_way_in_works_in_a_process_that_imported_nothing(code):
    assert in_a_new_process(code) == "PASS"


@pytest.mark.parametrize("package", [scratchvae, gradcheck, data, models])
def test_names_that_are_loaded_late_are_those_that_type_checkers_see(package):
    tree = ast.parse(Path(package.__file__).read_text())
    blocks = (node for node in tree.body if isinstance(node, ast.If))
    (block,) = (node for node in blocks if isinstance(node.test, ast.Name))
    seen = {
        alias.name: f".{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    seen |= {n.name: None for n in block.body if isinstance(n, ast.FunctionDef)}
    assert set(seen) == set(package.__all__)
    for name, home in seen.items():
        assert hasattr(package, name)
        assert name in dir(package)
        if home is not None:
            assert package._HOMES[name] == home
    assert not hasattr(package, "nothing_of_that_name")


@pytest.mark.parametrize("name", MATHEMATICS)
def test_the_mathematics_does_not_know_numpy(name):
    used = set(imports(ROOT / name))
    assert not {m for m in used if m.split(".")[0] in ("numpy", "cupy")}
    assert "np." not in (ROOT / name).read_text()


def test_only_backend_imports_cupy():
    for path in ROOT.rglob("*.py"):
        if re.search(r"^\s*(import|from) cupy", path.read_text(), re.MULTILINE):
            assert path == ROOT / "backend" / "__init__.py"


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


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("x", 8)]
)
def test_the_quota_of_a_container_bounds_the_usable_cores(tmp_path, monkeypatch, quota, cores):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(startup, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert startup.usable_cores() == cores
    monkeypatch.setattr(startup, "QUOTA", tmp_path / "none")
    assert startup.usable_cores() == 8
