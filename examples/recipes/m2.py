"""Table 1 of Kingma et al. (arXiv:1406.5298), model M2: MNIST with few labels, test accuracy.

    python examples/recipes/m2.py DIR --labels 100 --seeds 0 1 2

Published: 784-500-50 softplus, 50,000 training images, balanced labels, y summed out, 3000 epochs.
Here, for fewer epochs, the labelled rows are repeated until they are one row in `--share`, so that
each batch holds some, and alpha is the weight of the classifier's cost of each.
"""

import argparse

import numpy as np

from scratchvae import SemiSupervisedVAE, load_data

PUBLISHED = {
    100: "88.03 +- 1.71",
    600: "95.06 +- 0.13",
    1000: "96.40 +- 0.56",
    3000: "96.08 +- 0.63",
}


def few_labels(X, y, n, seed, share):
    """n labels, as many of each class; the labelled rows repeated, in front; -1 for the rest."""
    rng = np.random.default_rng(seed)
    classes = np.unique(y)
    kept = np.concatenate(
        [rng.choice(np.flatnonzero(y == c), n // len(classes), replace=False) for c in classes]
    )
    times = max(1, len(X) // (share * n))
    X = np.concatenate((*[X[kept]] * times, X))
    y = np.concatenate((*[y[kept]] * times, np.full(len(y), -1)))
    return X, y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir")
    parser.add_argument("--labels", type=int, default=100, choices=PUBLISHED)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=50.0, help="0: without the classifier term")
    parser.add_argument("--share", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--init", default="small")
    a = parser.parse_args()
    X, y = (part[:50_000] for part in load_data("mnist", "train", a.data_dir))
    X_test, y_test = load_data("mnist", "test", a.data_dir)
    scores = []
    for seed in a.seeds:
        model = SemiSupervisedVAE(
            latent_dim=50,
            hidden=(500,),
            activation="softplus",
            alpha=a.alpha,
            seed=seed,
            init=a.init,
        )

        def show(trainer, record, seed=seed):
            accuracy = trainer.model.score(X_test, y_test)
            print(
                f"seed {seed} epoch {record['epoch']:2} loss {record['train_loss']:.2f} "
                f"accuracy {100 * accuracy:.2f}  {record['seconds']:.0f} s", flush=True,
            )  # fmt: skip

        few = few_labels(X, y, a.labels, seed, a.share)
        model.fit(
            *few, epochs=a.epochs, batch_size=a.batch_size, lr=a.lr, binarize="dynamic",
            callbacks=show,
        )  # fmt: skip
        scores.append(100 * model.score(X_test, y_test))
    print(f"published, 3000 epochs: {PUBLISHED[a.labels]} %")
    print(
        f"ours, {a.epochs} epochs: {np.mean(scores):.2f} +- {np.std(scores):.2f} %, draws {scores}"
    )


if __name__ == "__main__":
    main()
