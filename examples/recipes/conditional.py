"""The value of a label: the NLL of MNIST with and without it, and digits on demand.

    python examples/recipes/conditional.py DIR --out digits.png

A VAE and a conditional VAE of the same size, 784-400-200-8, are trained on dynamically
binarized images; prints the importance-weighted NLL of the test split with 500 samples. With few
units and two layers, z leaves the digit to the label; with 784-400-20, many samples show another.
How many do is counted by their nearest neighbours: the share of 1,000 samples whose nearest
training image has their label, beside that of 1,000 test images.
"""

import argparse

import numpy as np
from recipe_tools import print_result

from scratchvae import VAE, ConditionalVAE, InputError, load_data
from scratchvae.evaluate import evaluate
from scratchvae.pictures import plots

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("data_dir")
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", default="digits.png")
a = parser.parse_args()


def agreement(rows: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The share of rows (N, D) whose nearest training image has their label, and its error."""
    known = X.astype("f4") / 255
    distances = np.square(known).sum(axis=1) - 2 * rows @ known.T  # less the squares of the rows
    share = float((y[distances.argmin(axis=1)] == labels).mean())
    return share, (share * (1 - share) / len(rows)) ** 0.5


try:
    X, y = load_data("mnist", "train", a.data_dir)
    X_test, y_test = load_data("mnist", "test", a.data_dir)
except InputError as error:
    parser.error(str(error))
nll, error = {}, {}
for cls in (VAE, ConditionalVAE):
    model = cls(latent_dim=8, hidden=(400, 200), seed=a.seed).fit(
        X, y, epochs=a.epochs, binarize="dynamic", lr=lambda e: 1e-3 * 0.05 ** (e / a.epochs)
    )
    found = evaluate(
        model, X_test, y_test, k=500, binarize="dynamic", data="mnist", split="test split"
    )
    print(f"{cls.__name__}\n{found}\n", flush=True)
    nll[cls], error[cls] = -found.log_likelihood, found.standard_error
title = "samples of each digit, one column per digit"
plots.samples(model.rows_.images(model.sample(100)), title).savefig(a.out)  # each class in turn
print("expected   a lower NLL given the label (a label carries up to log 10 = 2.30 nats)")
print(f"ours       {nll[ConditionalVAE]:.2f} given the label, {nll[VAE]:.2f} without; {a.out}")
samples = model.rows_.images(model.sample(1000)).reshape(1000, -1)  # again each class in turn
agree = agreement(samples, np.resize(model.classes_, 1000))
real, _ = agreement(X_test[:1000].astype("f4") / 255, y_test[:1000])
print(f"nearest    {agree[0]:.3f} of the samples have their label, {real:.3f} of test images")
print_result(
    agree=agree, given=(nll[ConditionalVAE], error[ConditionalVAE]), without=(nll[VAE], error[VAE]),
    gain=(nll[VAE] - nll[ConditionalVAE], None),
)  # fmt: skip
