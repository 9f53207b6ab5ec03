"""The command that writes a page to look at a run in, with a browser and without a network."""

import argparse

from ..errors import InputError
from ..evaluate.units import units_of
from ..files import run_folder as runs
from ..files.atomic import write_atomically
from ..pictures import explorer
from .shared import data_of, open_run, output


def explore(a: argparse.Namespace) -> int:
    model, settings = open_run(a)
    path = output(a, runs.EXPLORER)
    if path.suffix != ".html":
        raise InputError(f"{path} must end in .html: it is a page for a browser")
    explorer.check(model)
    data = data_of(a, settings)
    found = units_of(model, data, settings)
    rows = explorer.shown(len(data.X), model.latent_dim)
    text = explorer.page(
        model, found.mu[rows], None if data.y is None else data.y[rows],
        order=found.order, information=found.information, active=found.active, std=found.std,
        data=data.name,
    )  # fmt: skip
    write_atomically(path, lambda f: f.write(text.encode()))
    print(path)
    return 0
