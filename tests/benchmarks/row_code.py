"""Which code a row of docs/results.json was measured with, and whether it has changed since.

    python tests/benchmarks/row_code.py OUT RECIPE ...

runs a recipe with these arguments, and writes to OUT which files of the checkout it loaded. The
digest of a file leaves out docstrings, comments, positions and the arguments of errors and
warnings: a change of wording changes no number.
"""

import ast
import hashlib
import os
import runpy
import sys
from pathlib import Path

FOLDERS = ("scratchvae", "examples/recipes")  # whose files belong to the code of a row


def tree(node):
    """A syntax tree as text, without wording and positions; the same in all Pythons."""
    if is_message(node):
        return "(message)"
    if isinstance(node, list):
        return f"[{' '.join(map(tree, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and documented(node):
            value = value[1:]
        if value is not None and value != [] and name not in ("kind", "type_comment"):
            fields.append(f"{name}={tree(value)}")
    return f"{type(node).__name__}({' '.join(fields)})"


def documented(node):
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def is_message(node):
    """Whether a node makes an error or a warning: what it says changes no number."""
    name = getattr(node, "func", None)
    name = getattr(name, "id", getattr(name, "attr", ""))
    return isinstance(node, ast.Call) and name.endswith(("Error", "warn"))


def digest(path):
    """Eight digits of the SHA-256 of a module's code."""
    text = tree(ast.parse(path.read_text(encoding="utf-8")))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def code(root):
    """The digest of every file that a recipe can load, by its path in the checkout."""
    files = [file for folder in FOLDERS for file in (root / folder).rglob("*.py")]
    return {file.relative_to(root).as_posix(): digest(file) for file in files}


def measured_with(row):
    """The files of the row's code, with their digests of then."""
    return dict(entry.rsplit(":", 1) for entry in row.get("code", "").split())


def out_of_date(rows, root):
    """A line for each row whose command was not run since its code changed, as far as is known."""
    now = code(root)
    for row in rows:
        then = measured_with(row)
        if "ours" not in row:
            yield f"{row['id']}: never measured"
        elif not then:
            yield f"{row['id']}: measured {row['date']}, before its code was recorded"
        elif paths := [path for path, was in then.items() if now.get(path) != was]:
            few = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
            yield f"{row['id']}: {few} changed since {row['date']}"


def trace(out, recipe, *argv):
    """Run a recipe in this process, and write which files of the checkout it loaded to `out`."""
    sys.argv, sys.path[0] = [recipe, *argv], str(Path(recipe).parent)
    sys.path.insert(1, os.getcwd())
    try:
        runpy.run_path(recipe, run_name="__main__")
    finally:
        root = Path.cwd().resolve()
        files = {Path(f).resolve() for m in [*sys.modules.values()] if (f := file_of(m))}
        files = {f for f in files if f.suffix == ".py" and f.is_relative_to(root)}
        own = [f.relative_to(root).as_posix() for f in files | {Path(recipe).resolve()}]
        own = [f for f in own if f.startswith(FOLDERS)]
        Path(out).write_text("\n".join(sorted(own)))


def file_of(module):
    return getattr(module, "__file__", None)


if __name__ == "__main__":
    trace(*sys.argv[1:])
