"""The house: which room may import which, how large rooms and modules are, what stays private.

Every import of every file is read with `ast`, those inside functions and under TYPE_CHECKING too.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import scratchvae

ROOT = Path(scratchvae.__file__).parent
# a room is a file or folder of the package; it may import what stands before it, not beside it
FLOORS = [
    ["errors", "startup", "version"],
    ["backend"],
    ["files", "gradcheck", "ops"],
    ["nets", "data"],
    ["train"],
    ["models"],
    ["evaluate"],
    ["pictures"],
    ["verify"],
    ["cli"],
    ["__init__"],
    ["__main__"],
]
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
BY_NAME = ("__init__.py",)  # on top: it names modules that are imported when they are asked for
STUDENTS_LOSSES = "what a student's first reading can skip"  # a comment in models/losses.py
# public, in spite of their names: of named tuples, of argparse for those who derive from it, of os
PUBLIC = {"_asdict", "_exit", "_fields", "_replace", "_subparsers"}


def sources():
    """The text of each module, by its path in the package."""
    return {p.relative_to(ROOT).as_posix(): p.read_text() for p in sorted(ROOT.rglob("*.py"))}


@cache
def nodes(text):
    """Every node of a module's tree; the first is the module."""
    return list(ast.walk(ast.parse(text)))


def room_of(path):
    return path.split("/")[0].removesuffix(".py")


def module_of(path):
    """models/vae.py -> models.vae; models/__init__.py -> models; __init__.py -> "" """
    return path.removesuffix(".py").replace("/", ".").removesuffix("__init__").rstrip(".")


def imports(path, text, modules):
    """The modules of this package that a file imports, with the line."""
    package = module_of(path).split(".")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    for node in nodes(text):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, rest = alias.name.partition(".")
                if top == "scratchvae":
                    yield rest, node.lineno
        elif isinstance(node, ast.Constant) and str(node.value).startswith("scratchvae."):
            # for importlib, sys.modules, or a table of names; what no module is called is no import
            name = node.value.partition(".")[2]
            if name in modules and path not in BY_NAME:
                yield name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                start = [part for part in package if part]
                start = start[: len(start) - node.level + 1]
                base = ".".join([*start, *filter(None, [node.module])])
            elif (node.module or "").split(".")[0] == "scratchvae":
                base = node.module.partition(".")[2]
            else:
                continue
            for alias in node.names:
                name = f"{base}.{alias.name}".lstrip(".")
                yield (name if name in modules else base), node.lineno


def graph(texts):
    """Which modules each module imports, and where."""
    modules = {module_of(path) for path in texts}
    return {path: list(imports(path, text, modules)) for path, text in texts.items()}


def upward(texts):
    """Imports of a room that does not stand below."""
    found = []
    for path, edges in graph(texts).items():
        here = room_of(path)
        for target, line in edges:
            there = target.split(".")[0] or "__init__"
            if there != here and FLOOR[there] >= FLOOR[here]:
                found.append(f"{path}:{line} imports {target or 'scratchvae'}")
    return found


def circles(texts):
    edges = {
        module_of(path): {target for target, _ in targets if target != module_of(path)}
        for path, targets in graph(texts).items()
    }
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def beyond_backend_and_errors(texts):
    return [
        f"{path}:{line} imports {target}"
        for path, edges in graph(texts).items()
        if room_of(path) == "gradcheck"
        for target, line in edges
        if target.split(".")[0] not in ("gradcheck", "backend", "errors")
    ]


def private_reads(texts):
    """`thing._name` and `getattr(thing, "_name")`, where no class of the room has that name.

    Of `self` too: a class must not use what its base in another room keeps to itself.
    """
    own, reads = {}, []
    for path, text in texts.items():
        defined = own.setdefault(room_of(path), set())
        for scope in (node for node in nodes(text) if isinstance(node, ast.ClassDef)):
            for node in scope.body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    defined.add(node.name)
                elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    defined |= {target.id for target in targets if isinstance(target, ast.Name)}
        for node in nodes(text):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                    defined.add(node.attr)
            elif isinstance(node, ast.keyword):  # self.__dict__.update(_name=...)
                defined.add(node.arg)
            elif isinstance(node, ast.Attribute):
                reads.append((path, node.lineno, node.attr))
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
                if isinstance(node.args[1], ast.Constant):
                    reads.append((path, node.lineno, node.args[1].value))
            elif isinstance(node, ast.ImportFrom) and (node.level > 1 or not node.level):
                reads += [(path, node.lineno, alias.name) for alias in node.names]
    return [
        f"{path}:{line} reads {name}"
        for path, line, name in reads
        if name.startswith("_") and not name.startswith("__")
        if name not in own[room_of(path)] | PUBLIC
    ]


RULES = [upward, circles, beyond_backend_and_errors, private_reads]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_it_holds(rule):
    assert rule(sources()) == []


@pytest.mark.parametrize(
    ("rule", "path", "line"),
    [
        (upward, "ops.py", "from .models import VAE"),
        (upward, "train/trainer.py", "def f():\n    from ..models.vae import VAE"),
        (upward, "data/load.py", "if TYPE_CHECKING:\n    from ..train import Trainer"),
        (upward, "evaluate/metrics.py", "import scratchvae.pictures.plots"),
        (upward, "files/npz.py", "from .. import ops"),
        (upward, "models/vae.py", "from .. import VAE"),
        (circles, "models/parameters.py", "def f():\n    from .model import Model"),
        (circles, "errors.py", "from . import errors, VAE"),
        (beyond_backend_and_errors, "gradcheck/checker.py", "from ..ops import linear"),
        (beyond_backend_and_errors, "gradcheck/strategies.py", "from scratchvae import VAE"),
        (upward, "ops.py", "m = import_module('scratchvae.models.vae')"),
        (upward, "backend/noise.py", "m = sys.modules['scratchvae.models']"),
        (beyond_backend_and_errors, "gradcheck/checker.py", "m = import_module('scratchvae.ops')"),
        (private_reads, "cli/train.py", "model._plan(3)"),
        (private_reads, "evaluate/units.py", "getattr(model, '_ws')"),
        (private_reads, "verify/table.py", "def _forward(m):\n    return m._forward(1)"),
        (private_reads, "pictures/plots.py", "_ws = 3\nmodel._ws"),
        (private_reads, "cli/look.py", "class T:\n    def f(self):\n        return self._totals"),
        (private_reads, "evaluate/units.py", "from ..models.load import _load"),
    ],
)
def test_a_planted_violation_is_found(rule, path, line):
    texts = sources()
    assert rule(texts | {path: f"{texts.get(path, '')}\n{line}\n"}) != []


def test_every_room_has_its_floor():
    assert {room_of(path) for path in sources()} == FLOOR.keys()


def test_rooms_and_modules_are_small():
    entries = {p.name for p in ROOT.iterdir() if p.name not in ("__pycache__", "py.typed")}
    assert len(entries - {"__init__.py", "__main__.py"}) <= 15
    for folder in {p.parent for p in ROOT.rglob("*.py")}:
        files = [p for p in folder.iterdir() if p.is_file()]
        assert len(files) <= 13 or folder == ROOT, folder
    for path, text in sources().items():
        assert len(text.splitlines()) <= 340, path


def test_what_a_student_reads_is_short():
    """`ops.py`, `nets.py`, the first part of `models/losses.py` and `models/vae.py`."""
    texts = sources()
    losses = texts["models/losses.py"]
    assert losses.count(STUDENTS_LOSSES) == 1
    first_part = losses.split(STUDENTS_LOSSES)[0]
    assert "def reconstruction_backward" in first_part
    read = [texts["ops.py"], texts["nets.py"], first_part, texts["models/vae.py"]]
    assert sum(len(text.splitlines()) for text in read) < 500


def test_every_room_says_what_lives_in_it():
    for path, text in sources().items():
        if path.count("/") == 1 and path.endswith("__init__.py"):
            said = ast.get_docstring(ast.parse(text))
            assert len(said.split(". ")) + said.count(".\n") >= 2, path
