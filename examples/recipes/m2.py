"""Table 1 of Kingma et al. (arXiv:1406.5298): MNIST with few labels, test accuracy.

    python examples/recipes/m2.py DIR --labels 100              M2, on pixels
    python examples/recipes/m2.py DIR --labels 100 --codes      M1+M2: M2 on the codes of a VAE
    python examples/recipes/m2.py DIR --labels 100 --plain      the paper's batches and nothing else
    python examples/recipes/m2.py DIR --labels 100 --first 0    without step 1 below

The paper's 784-500-50 with softplus, 50,000 training images, equally many labels per class. The
paper trains 3000 epochs, in batches of one labelled image and 500 others. Here,

1. the model first learns from the labelled rows alone, for about 200 steps;
2. then from all rows. Both have beta = 4 on the KL of code and label: the more expensive the code,
   the more is left to the label. Unknown labels are summed over the two most likely values.
   Labelled rows are repeated, so that about four of a batch of 104 are labelled, and each of 100
   labels weighs 21 times as much as in the paper;
3. then the same with beta = 1, while the step size decays to a tenth.

Pixels are grey, except in step 1, where they are binarized dynamically. Step 3 minimises the
paper's loss, still over two labels. The accuracy by epoch is that of the 10,000 held-out images.

M1+M2 needs neither the first step, nor another beta, nor a shorter sum, because the codes of a VAE
are already clustered. Its M2 uses relu and half the step size. M1 outputs the mean of q(z|x).
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from recipe_tools import add_run_options, print_result

from scratchvae import VAE, SemiSupervisedVAE, load_data
from scratchvae.files.atomic import write_csv
from scratchvae.train import Trainer

# accuracy, percent: M2, and M1+M2
PUBLISHED = {
    100: ("88.03 +- 1.71", "96.67 +- 0.14"),
    600: ("95.06 +- 0.13", "97.41 +- 0.05"),
    1000: ("96.40 +- 0.56", "97.60 +- 0.02"),
    3000: ("96.08 +- 0.63", "97.82 +- 0.04"),
}
SHARE = 25  # one row in SHARE is labelled
BATCH = 104
M1 = 30  # epochs of the VAE of M1+M2; the step size decays in the second half


def kept_labels(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rows of n labels, equally many per class."""
    rng, classes = np.random.default_rng(seed), np.unique(y)
    each = n // len(classes)
    return np.concatenate([
        rng.choice(np.flatnonzero(y == c), each, replace=False) for c in classes
    ])  # fmt: skip


def repeated(
    X: np.ndarray, y: np.ndarray, kept: np.ndarray, share: int
) -> tuple[np.ndarray, np.ndarray]:
    """The kept rows with labels, repeated to be one row in `share`; then all rows unlabelled."""
    times = max(1, round(len(X) / (share - 1) / len(kept)))
    return (
        np.concatenate((*[X[kept]] * times, X)),
        np.concatenate((*[y[kept]] * times, np.full(len(y), -1))),
    )


def stages(
    a: argparse.Namespace, X: np.ndarray, y: np.ndarray, kept: np.ndarray
) -> Iterator[tuple[dict, int, tuple, dict]]:
    """For each stage: model settings, epochs, rows with labels, training settings."""
    if a.plain:
        yield {}, a.epochs, repeated(X, y, kept, len(X)), {"batch_size": 501, "lr": 3e-4}
        return
    rows, lr = repeated(X, y, kept, SHARE), 1e-3 if a.codes else 2e-3
    if not a.codes and a.first:
        first = {"batch_size": 100, "binarize": "dynamic"}
        yield {"beta": a.beta, "top": a.top}, a.first, (X[kept], y[kept]), first
    changed = {} if a.codes else {"beta": a.beta, "top": a.top}
    yield changed, a.epochs, rows, {"batch_size": BATCH, "lr": lr}
    falling = {"batch_size": BATCH, "lr": lambda epoch: lr * 0.1 ** (epoch / a.epochs)}
    yield {"beta": 1.0}, a.epochs, rows, falling


def train(
    a: argparse.Namespace, X: np.ndarray, y: np.ndarray, valid: tuple, seed: int, curve: list
) -> SemiSupervisedVAE:
    """Train on `a.labels` labels, drawn with this seed."""
    model = SemiSupervisedVAE(
        latent_dim=50, hidden=(500,), activation="relu" if a.codes else "softplus", alpha=a.alpha,
        likelihood="gaussian" if a.codes else "bernoulli", seed=seed, device=a.device,
    ).build(X.shape[1])  # fmt: skip

    def show(trainer: Trainer, record: dict) -> None:
        loss, accuracy = record["train_loss"], 100 * model.score(*valid)
        curve.append((seed, len(curve) + 1, model.beta, loss, accuracy))
        print(
            f"seed {seed} epoch {len(curve):2} beta {model.beta:g} loss {loss:.2f} accuracy "
            f"{accuracy:.2f}", flush=True,
        )  # fmt: skip

    for i, (changed, epochs, rows, settings) in enumerate(
        stages(a, X, y, kept_labels(y, a.labels, seed))
    ):
        model.set_params(**changed)
        file = a.checkpoint and a.checkpoint.with_name(f"{a.checkpoint.stem}_{seed}_{i}.npz")
        trainer = Trainer(model, rows[0], y=rows[1], checkpoint_file=file, **settings)
        trainer.run(epochs, callbacks=show if len(rows[1]) > len(y) else ())
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir")
    parser.add_argument("--labels", type=int, default=100, choices=PUBLISHED)
    parser.add_argument("--codes", action="store_true", help="M1+M2")
    parser.add_argument("--plain", action="store_true", help="the paper's batches, nothing else")
    parser.add_argument("--alpha", type=float, default=50.0)
    parser.add_argument("--first", type=int, metavar="EPOCHS", help="epochs of step 1")
    parser.add_argument("--beta", type=float, default=4.0, help="beta of steps 1 and 2, on pixels")
    parser.add_argument("--top", type=int, default=2, help="classes to sum over, on pixels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="draws of labels")
    parser.add_argument("--epochs", type=int, default=12, help="epochs of each stage with all rows")
    parser.add_argument("--curve", type=Path, metavar="FILE.csv", help="the accuracy by epoch")
    add_run_options(parser)
    a = parser.parse_args()
    if a.curve and a.checkpoint:
        parser.error("--curve needs every epoch of one run: leave --checkpoint out")
    a.first = 20_000 // a.labels if a.first is None else a.first
    X, y = load_data("mnist", "train", a.data_dir)
    n = len(X) * 5 // 6  # 50,000 of 60,000
    X_test, y_test = load_data("mnist", "test", a.data_dir)
    if a.codes:
        m1 = VAE(latent_dim=50, hidden=(500,), activation="softplus", seed=0, device=a.device)
        m1.fit(
            X[:n], epochs=M1, batch_size=100, lr=lambda e: 1e-3 * min(1, 0.1 ** (2 * e / M1 - 1))
        )
        X, X_test = m1.transform(X), m1.transform(X_test)
        active = X[:n].var(axis=0) > 0.01
        X, X_test = X[:, active], X_test[:, active]
        print(f"M1: {active.sum()} active units", flush=True)
    curves: list[list] = [[] for _ in a.seeds]
    scores = [
        100 * train(a, X[:n], y[:n], (X[n:], y[n:]), seed, curve).score(X_test, y_test)
        for seed, curve in zip(a.seeds, curves, strict=True)
    ]
    if a.curve:
        write_csv(a.curve, ("seed", "epoch", "beta", "loss", "accuracy"), chain(*curves))
    many = len(scores)
    error = np.std(scores, ddof=1) / many**0.5 if many > 1 else None
    print(f"published  {PUBLISHED[a.labels][a.codes]} %, {'M1+M2' if a.codes else 'M2'}")
    print(
        f"ours       {np.mean(scores):.2f} %: label draws {', '.join(f'{s:.2f}' for s in scores)}; "
        f"{a.epochs} epochs of each stage, alpha {a.alpha:g}"
    )
    print_result(accuracy=(np.mean(scores), error))


if __name__ == "__main__":
    main()
