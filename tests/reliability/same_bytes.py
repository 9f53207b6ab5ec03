"""The same command twice: the same bytes. And what is not promised: another number of threads.

Each run is a process of its own. All five models are trained by the command line (float32) and by
`fit` (float64); then the default model on the strokes with one and with two threads of BLAS, whose
sums come in another order: how far apart the parameters and losses are is measured, not judged.
"""

import hashlib
import sys

import common
import numpy as np

from scratchvae import load_model
from scratchvae.models import MODELS

COMMAND = "import sys; from scratchvae.cli import main; sys.exit(main())"
FIT = """
import sys
import numpy as np
from scratchvae.models import MODELS, Labelled
kind, data, out = sys.argv[1:]
content = np.load(data)
model = MODELS[kind](latent_dim=2, hidden=(8,), dtype="float64")
y = {"y": content["y"]} if isinstance(model, Labelled) else {}
model.fit(content["X"], epochs=2, batch_size=27, **y)
for record in model.history_:
    record["seconds"] = 0.0
model.save(out)
"""


def run(code, *arguments, **settings):
    process = common.own_process(code, *arguments, **settings)
    out, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments}: {out}{said}")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def twice(counts, place, data, kind):
    """A model of this kind, by the command line and by `fit`."""
    sums = [[], []]
    for i in range(2):
        out = place / f"{kind}{i}"
        # pictures play no part in it, and take most of the time: the run ends before them
        line = common.train_line(data, out, 2, "--model", kind, "--checkpoint-every", "3")
        code = "import common; common.without_pictures()\n" + COMMAND
        run(code, *line)
        sums[0].append((sha256(out / "checkpoint.npz"), common.history(out)))
        run(FIT, kind, data, place / f"{kind}{i}.npz")
        sums[1].append(sha256(place / f"{kind}{i}.npz"))
    for how, (one, two) in zip(("train, float32", "fit, float64"), sums, strict=True):
        counts.add(f"{kind}: {how}", "" if one == two else f"{one} and {two}")


def by_threads(counts, place):
    """The default model, after one epoch on the strokes, with one thread and with two."""
    models, losses = [], []
    for n in (1, 2, 2):
        out = place / f"threads{len(models)}"
        line = ["train", "--data", "strokes", "--epochs", "1", "--out", out, "--quiet"]
        code = "import common; common.without_pictures()\n" + COMMAND
        run(code, *line, env={"OPENBLAS_NUM_THREADS": str(n)})
        models.append(load_model(out).params_.array)
        losses.append(float(common.history(out)[-1].split(",")[3]))
    one, two, again = models
    counts.add("two threads twice", "" if np.array_equal(two, again) else "other parameters")
    counts.note(
        f"one thread and two: parameters differ by up to {np.abs(one - two).max():.1e} (they reach "
        f"{np.abs(one).max():.2g}), the test loss by {abs(losses[0] - losses[1]):.1e} nats of "
        f"{losses[0]:.2f}"
    )


def main():
    options = common.options(__doc__)
    counts = common.Counts("same_bytes", options)
    with common.scratch_folder() as place:
        data = place / "data.npz"
        rng = np.random.default_rng(options.seed)
        X = rng.integers(0, 256, (common.ROWS, common.WIDTH), dtype=np.uint8)
        np.savez(data, X=X, y=rng.integers(0, 3, common.ROWS))
        for kind in ("vae", "m2") if options.short else MODELS:
            twice(counts, place, data, kind)
        if not options.short:
            by_threads(counts, place)
    return counts.finish()


if __name__ == "__main__":
    sys.exit(main())
