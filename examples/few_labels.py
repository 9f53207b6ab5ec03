"""Learn to classify ten digits from few labels and many unlabelled images.

    python examples/few_labels.py [--labels 100] [--epochs 8]

The semi-supervised VAE (M2) sees 4,000 images and a few of their labels. For comparison, the same
model is trained on the labelled images alone, for as many steps. These digits are so regular that
unlabelled images add nothing; docs/results.md has MNIST, where they add twenty percentage points.
"""

import argparse

import numpy as np

from scratchvae import SemiSupervisedVAE, load_data

SHARE = 20  # one row in SHARE is labelled, so that each batch has labels

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
print(f"{len(kept)} labels, equally many per digit; {len(X) - len(kept)} unlabelled images")


def accuracy(rows, labels):
    model = SemiSupervisedVAE(latent_dim=10, hidden=(100,), seed=0)
    return model.fit(rows, labels, epochs=options.epochs).score(X_test, y_test)


both = np.concatenate((again, np.arange(len(X))))
alone = np.resize(kept, len(both))
print(f"with unlabelled images  {accuracy(X[both], few[both]):.1%} test accuracy")
print(f"labels alone            {accuracy(X[alone], few[alone]):.1%}")
