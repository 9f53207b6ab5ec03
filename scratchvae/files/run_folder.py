"""The folder of a run: its file names, and functions that find, protect and remove the files.

checkpoint.npz    the latest state of the run (see `checkpoint.py`)
checkpoint-N.npz  its state after N steps; best.npz: after the epoch with the lowest test loss
metrics.csv       one row per epoch; losses are nats per example on the whole split: rec + beta kl,
                  or the bound of an IWAE's k samples
config.json       every setting, for the reader; resuming needs only the checkpoint
index.html        a page with the pictures and the numbers
*.png             the pictures that apply, and those that the commands draw
training.gif      the same latent points decoded after each epoch
anomaly.csv       the scores that `anomaly` writes; anomaly-NAME.csv: with --data NAME
codes.csv         the codes that `encode` writes
explorer.html     the page that `explore` writes
model.safetensors the model that `export` writes
"""

import csv
import io
import json
import re
from contextlib import suppress
from math import isnan
from pathlib import Path
from typing import Any

from ..errors import InputError
from .atomic import make_folder, sweep, write_atomically, write_csv
from .reading import DAMAGE, UnreadableFile, open_at_once, regular

NEWEST, BEST = "checkpoint.npz", "best.npz"
INCOMING = "incoming.npz"  # first checkpoint of a run that replaces another, until that is removed
CHECKPOINTS = (NEWEST, BEST, INCOMING)
COLUMNS = ("epoch", "step", "train_loss", "test_loss", "rec", "kl", "active_units", "seconds")
METRICS, CONFIG = "metrics.csv", "config.json"
SCORES, SAMPLES_OF_LABEL, EXPLORER = "anomaly.csv", "samples_of_label.png", "explorer.html"
CODES = "codes.csv"
INDEX, FILM, EXPORT = "index.html", "training.gif", "model.safetensors"
ONLY_BY_TRAIN = ("loss.png", "unit_kl.png", "latent.png")
TRAIN_PICTURES = (  # drawn by `train`, where they apply
    *ONLY_BY_TRAIN,
    *("reconstructions.png", "samples.png", "manifold.png", "traversals.png", "interpolations.png"),
)
PICTURES = (*TRAIN_PICTURES, FILM, "anomaly.png", SAMPLES_OF_LABEL, "diagram.svg")
FILES = (*CHECKPOINTS, METRICS, CONFIG, SCORES, CODES, EXPLORER, EXPORT, INDEX, *PICTURES)
MAX_METRICS = 1 << 26  # bytes: about a million epochs


def earlier_checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoints checkpoint-N.npz by their steps N, the latest first."""
    found = {}
    for path in folder.glob("checkpoint-*.npz"):
        if step := re.fullmatch(r"checkpoint-(\d{8,19})\.npz", path.name):
            found[int(step[1])] = path
    return dict(sorted(found.items(), reverse=True))


def candidates(folder: Path) -> list[Path]:
    """Checkpoints to resume from, newest first."""
    earlier = earlier_checkpoints(folder).values()
    there = [path for path in (folder / NEWEST, *earlier, folder / BEST) if path.is_file()]
    return there or [path for path in [folder / INCOMING] if path.is_file()]


def refuse_if_taken(folder: Path, overwrite: bool) -> None:
    """Raises InputError if a run would be overwritten without `overwrite`, or for a wrong path."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder: choose another --out")
    there = taken(folder)
    for name in there:
        if (folder / name).is_dir():
            raise InputError(f"{folder / name} is a folder, not a file of a run: move it away")
    if there and not overwrite:
        what, resume = f"files that a run would replace ({', '.join(there)})", ""
        if candidates(folder):
            what, resume = "a run", "--resume to continue it, "
        raise InputError(
            f"{folder} already holds {what}: add {resume}--overwrite to replace it, or choose "
            "another --out"
        )


def taken(folder: Path) -> list[str]:
    """The files in the folder that a run would overwrite or remove."""
    names = [*FILES, *(path.name for path in earlier_checkpoints(folder).values())]
    for path in sorted(folder.glob("anomaly-*.csv")):
        if path.is_file() and _holds_scores(path):
            names += [path.name, path.with_suffix(".png").name]
    return [name for name in names if (folder / name).exists()]


def _holds_scores(path: Path) -> bool:
    """Whether `anomaly` wrote this table: a user's own may have such a name too."""
    with path.open("rb") as f:
        return f.read(9) == b"row,score"


def open_folder(folder: Path) -> None:
    """Create the folder. Raises InputError, before any training, if it is not writable."""
    import tempfile  # lazily: slow to import

    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): choose another --out"
        ) from None


def remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def clear(folder: Path) -> None:
    """Remove the files of a run except its newest checkpoint and INCOMING."""
    for name in taken(folder):
        if name not in (NEWEST, INCOMING):
            (folder / name).unlink(missing_ok=True)


def sweep_up(folder: Path) -> None:
    """Remove the temporary files of killed processes.

    Other commands may be writing pictures, without the folder's lock, so theirs must be old.
    """
    own = (*CHECKPOINTS, "checkpoint-*.npz", METRICS, CONFIG, INDEX, FILM, *ONLY_BY_TRAIN)
    sweep(folder, own)
    sweep(folder, [name for name in FILES if name not in own], older=3600)


def write_config(folder: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config, indent=2) + "\n"
    write_atomically(folder / CONFIG, lambda f: f.write(text.encode()))


def write_metrics(folder: Path, history: list[dict[str, float]]) -> None:
    """Write the whole history instead of appending, so that no row is missing or repeated."""
    rows = ([_cell(record[column]) for column in COLUMNS] for record in history)
    write_csv(folder / METRICS, COLUMNS, rows)


def seconds_of_epochs(folder: Path) -> dict[int, float]:
    """The duration of each epoch, from metrics.csv; {} if that is missing or unreadable."""
    with suppress(csv.Error, *DAMAGE):
        with open_at_once(folder / METRICS) as f:
            if regular(f) > MAX_METRICS:
                raise UnreadableFile("is too long")
            text = f.read().decode()
        rows = csv.DictReader(io.StringIO(text))
        return {int(row["epoch"]): float(row["seconds"]) for row in rows if row["seconds"]}
    return {}


def _cell(value: float) -> str:
    return "" if isnan(value) else str(value) if isinstance(value, int) else f"{value:.6f}"
