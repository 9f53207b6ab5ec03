"""Training cost per example as the data grow: `python growth.py ROWS`, a memory-mapped .npy file.

Trains the blog post's VAE for a fixed number of steps; prints the microseconds of an example, and
the peak of the memory that is the process's own (not the file's pages), in MB.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STEPS, BATCH, D = 300, 128, 784


def own_memory():
    """The peak of anonymous memory so far is not kept by Linux: its value now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this needs Linux: /proc/self/status has no RssAnon")


def main(n):
    from scratchvae import VAE
    from scratchvae.backend import noise
    from scratchvae.train import Trainer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        X = np.lib.format.open_memmap(path, "w+", np.uint8, (n, D))
        for start in range(0, n, 10_000):
            X[start : start + 10_000] = np.random.default_rng(start).integers(0, 256, (1, D))
        X.flush()
        X = np.load(path, mmap_mode="r")
        trainer = Trainer(VAE(latent_dim=32).build(D), X, batch_size=BATCH)
        order = noise.permutation(n, seed=0, epoch=0)[: STEPS * BATCH]
        order = np.resize(order, STEPS * BATCH).reshape(STEPS, BATCH)
        for rows in order[:20]:
            trainer.take_step(rows)
        start = time.perf_counter()
        for rows in order:
            trainer.take_step(rows)
        seconds = time.perf_counter() - start
        print(1e6 * seconds / (STEPS * BATCH), own_memory())


if __name__ == "__main__":
    main(int(sys.argv[1]))
