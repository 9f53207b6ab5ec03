"""The readers of untrusted files, each with a small valid file to damage.

`value` makes bytes of what a reader returned, so that two results can be compared: equal bytes
mean equal dtypes, shapes, values, settings and histories.
"""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scratchvae import IWAE, VAE, CheckpointError, DataError, InputError, load_data, load_model
from scratchvae.data.idx import read_idx
from scratchvae.data.images import read_images
from scratchvae.data.tables import read_table
from scratchvae.models.load import load
from scratchvae.train import Trainer

SAFETENSORS = bool(find_spec("safetensors")) and bool(find_spec("scratchvae.files.safetensors"))
if SAFETENSORS:
    pass


@dataclass
class Reader:
    """A way in. Each file is to be read as what it holds, or refused with `error`."""

    name: str  # of the kind of file
    suffix: str
    error: type[Exception]
    read: Callable[[Path], Any]
    make: Callable[[Path], None]  # writes a valid file
    checked: bool = True  # whether the format has a checksum, so that damage shows
    packed: bool = False  # whether it is compressed, and may become larger than the file


def value(x):
    """The bytes of a result."""
    if isinstance(x, np.ndarray):
        return f"{x.dtype.str}{x.shape}".encode() + x.tobytes()
    if isinstance(x, (list, tuple)):
        return b"(" + b",".join(map(value, x)) + b")"
    if isinstance(x, dict):
        return b"{" + b",".join(repr(k).encode() + b":" + value(x[k]) for k in sorted(x)) + b"}"
    return repr(x).encode()


def of_model(model):
    """A model by all that `load` restores."""
    parameters = {name: np.asarray(a) for name, a in model.params_.items()}
    return value([type(model).__name__, model.get_params(), parameters, model.history_])


def trainer_of(model):
    X = np.random.default_rng(0).random((6, 4), dtype=np.float32)
    return Trainer(model, X, X[:2], batch_size=3)


def read_checkpoint(path):
    model, run, arrays = load(path)
    if run:  # it must be one to go on with, too
        try:
            trainer_of(model).resume(run, arrays)
        except InputError as error:
            raise CheckpointError(str(error)) from None
    return of_model(model) + value(run) + value(dict(arrays))


def make_run(path):
    """The checkpoint of a run: a model of 32 parameters, after two epochs."""
    trainer = trainer_of(VAE(latent_dim=1, hidden=(2,)).build(4))
    trainer.run(2)
    numbers, arrays = trainer.state()
    settings = {"data": "strokes", "epochs": 2}
    trainer.model.save(path, run={"settings": settings} | numbers, arrays=arrays)


def make_model(path):
    IWAE(latent_dim=1, hidden=(2,), k=2, dtype="float64").build(3).save(path)


def read_data(path):
    return value(load_data(path, "all"))


def make_npz(path):
    rng = np.random.default_rng(0)
    np.savez(path, X=rng.integers(0, 256, (5, 4), dtype=np.uint8), y=np.arange(5))


def make_packed(path):
    rng = np.random.default_rng(0)
    sizes = {"x_train": 5, "x_test": 2}
    np.savez_compressed(path, **{name: rng.random((n, 3)) for name, n in sizes.items()})


def make_npy(path):
    np.save(path, np.random.default_rng(0).random((5, 3), dtype=np.float32))


def read_idx_images(path):
    return value(read_idx(path, 3))


def idx_bytes():
    pixels = np.random.default_rng(0).integers(0, 256, 24, dtype=np.uint8)
    return struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + pixels.tobytes()


def make_idx(path):
    path.write_bytes(idx_bytes())


def make_gzipped(path):
    path.write_bytes(gzip.compress(idx_bytes(), mtime=0))


def make_safetensors(path):
    VAE(latent_dim=1, hidden=(2,), activation="tanh").build(3).save(path)


def read_safetensors(path):
    return of_model(load_model(path))


READERS = [
    Reader("checkpoint of a run", ".npz", CheckpointError, read_checkpoint, make_run),
    Reader("checkpoint of a model", ".npz", CheckpointError, read_checkpoint, make_model),
    Reader("npz", ".npz", DataError, read_data, make_npz),
    Reader("npz, compressed", ".npz", DataError, read_data, make_packed, packed=True),
    Reader("npy", ".npy", DataError, read_data, make_npy, checked=False),
    Reader("IDX", "-ubyte", DataError, read_idx_images, make_idx, checked=False),
    Reader("IDX, gzipped", "-ubyte.gz", DataError, read_idx_images, make_gzipped, packed=True),
]
if SAFETENSORS:
    READERS.append(
        Reader("safetensors", ".safetensors", CheckpointError, read_safetensors, make_safetensors)
    )


# ------------------------------------------------- what people bring: read by Pillow and by csv


def read_picture(path):
    """A folder of one picture, at its size and at another; as hashes, since it may be large."""
    read = (read_images(path.parent, size=size).X for size in (None, (4, 5)))
    return value([(X.shape, sha256(X).hexdigest()) for X in read])


def picture(kind, mode, **options):
    """A function that writes a picture of this format and mode."""

    def make(path):
        pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path, kind, **options)

    return make


def read_csv(path):
    return value(read_table(path))


def make_csv(path):
    text = ("label,a,b\n" + "".join(f"{i % 3},{i / 7},{-i}\n" for i in range(9))).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


PICTURES = {
    "PNG": (".png", picture("PNG", "RGB")),
    "PNG, palette": (".png", picture("PNG", "P")),
    "JPEG": (".jpg", picture("JPEG", "RGB")),
    "GIF": (".gif", picture("GIF", "P")),
    "BMP": (".bmp", picture("BMP", "RGB")),
    "TIFF": (".tif", picture("TIFF", "RGB", compression="tiff_lzw")),
}
BROUGHT = [
    Reader(f"picture, {kind}", suffix, DataError, read_picture, make, checked=False)
    for kind, (suffix, make) in PICTURES.items()
]
BROUGHT += [
    Reader("table, CSV", ".csv", DataError, read_csv, make_csv, checked=False),
    Reader("table, CSV, gzipped", ".csv.gz", DataError, read_csv, make_csv, packed=True),
]
