"""The command that writes a model for other programs."""

import argparse
from pathlib import Path

from ..errors import InputError
from ..files import run_folder as runs
from ..files import safetensors as interchange
from ..models import load_model


def export(a: argparse.Namespace) -> int:
    source = Path(a.run_folder)
    beside = source / runs.EXPORT if source.is_dir() else source.with_suffix(interchange.SUFFIX)
    path = a.output or beside
    if path.suffix != interchange.SUFFIX:
        raise InputError(f"{path} must end in {interchange.SUFFIX}")
    if path.resolve() == source.resolve():
        raise InputError(f"{path} would replace the model that it comes from: choose another -o")
    interchange.package()  # before the model is read, which takes longer
    load_model(source, "cpu").save(path)
    print(path)
    return 0
