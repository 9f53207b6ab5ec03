"""Find digits of a class that the model has never seen.

    python examples/anomalies.py [--unseen 3] [--latent-dim 8] [--epochs 10] [--out DIR]

A VAE is trained on the embedded digits without one class. Every test digit is then scored by the
negative ELBO: the nats it costs to describe. Digits of the unseen class should cost more.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from scratchvae import VAE, load_data
from scratchvae.evaluate.metrics import average_precision, roc_auc
from scratchvae.pictures import plots

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--unseen", type=int, choices=range(10), default=3, metavar="DIGIT")
parser.add_argument("--latent-dim", type=int, default=8)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--out", type=Path, help="folder; default: a new temporary one")
options = parser.parse_args()

X, y = load_data("strokes")
X_test, y_test = load_data("strokes", split="test")
vae = VAE(latent_dim=options.latent_dim, hidden=(200,), seed=0)
vae.fit(X[y != options.unseen], epochs=options.epochs)

scores = -vae.score_samples(X_test)
unseen = y_test == options.unseen
print(f"digit {options.unseen} was never seen; it is {unseen.mean():.1%} of the test digits")
print(
    f"median score: {np.median(scores[unseen]):.1f} nats, others {np.median(scores[~unseen]):.1f}"
)
print(f"AUROC {roc_auc(scores, unseen):.3f} (chance 0.5)")
print(f"average precision {average_precision(scores, unseen):.3f} (chance {unseen.mean():.3f})")

order = np.argsort(scores)
worst, best = (
    (
        vae.rows_.images(X_test[rows] / 255),
        [f"{score:.0f}" for score in scores[rows]],
        [f"{label}*" if label == options.unseen else str(label) for label in y_test[rows]],
    )
    for rows in (order[::-1][:24], order[:24])
)
out = options.out or Path(tempfile.mkdtemp(prefix="anomalies-"))
out.mkdir(parents=True, exist_ok=True)
with (out / "anomalies.png").open("xb") as f:  # x: never overwrite a file
    plots.anomalies(worst, best).savefig(f, dpi=110)
print(out / "anomalies.png")
