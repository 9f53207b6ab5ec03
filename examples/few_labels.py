"""Learn to tell ten digits apart from few labels and many images without one.

    python examples/few_labels.py [--labels 100] [--epochs 8]

The semi-supervised VAE (M2) sees 4,000 images, and the labels of a few. Beside it, the same model
that sees the labelled images only, as many steps. On digits as regular as these the unlabelled
ones add nothing; docs/results.md has MNIST, where they are worth twenty percentage points.
"""

import argparse

import numpy as np

from scratchvae import SemiSupervisedVAE, load_data

SHARE = 20  # labelled rows are repeated until they are one in so many, to be in each batch

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--labels", type=int, default=100)
parser.add_argument("--epochs", type=int, default=8)
options = parser.parse_args()

X, y = (part[:4000] for part in load_data("strokes"))
X_test, y_test = load_data("strokes", split="test")
kept = np.concatenate([np.flatnonzero(y == digit)[: options.labels // 10] for digit in range(10)])
few = np.full(len(y), -1)  # -1: unknown
few[kept] = y[kept]
again = np.tile(kept, max(1, len(X) // (SHARE * len(kept))))
print(f"{len(kept)} labels, as many of each digit; {len(X) - len(kept)} images without one")


def accuracy(rows, labels):
    model = SemiSupervisedVAE(latent_dim=10, hidden=(100,), seed=0)
    return model.fit(rows, labels, epochs=options.epochs).score(X_test, y_test)


both = np.concatenate((again, np.arange(len(X))))
alone = np.resize(kept, len(both))
print(f"with the others  {accuracy(X[both], few[both]):.1%} of the test labels right")
print(f"labels alone     {accuracy(X[alone], few[alone]):.1%}")
