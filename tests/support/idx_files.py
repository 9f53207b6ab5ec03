"""Writes small sets of images and labels as IDX files, MNIST's format."""

import gzip
import struct

import numpy as np

from scratchvae.data import idx


def idx_bytes(a):
    return bytes((0, 0, 8, a.ndim)) + struct.pack(f">{a.ndim}I", *a.shape) + a.tobytes()


def write_set(folder, n=5, gz=False, split="train", labels=None):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 4, 3)).astype(np.uint8)
    labels = rng.integers(0, 10, n).astype(np.uint8) if labels is None else labels
    for name, a in zip(idx.FILES[split], (images, labels), strict=True):
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(a)))
        else:
            (folder / name).write_bytes(idx_bytes(a))
    return images, labels
