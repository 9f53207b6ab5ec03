"""A conditional VAE draws requested digits, and other digits in a given handwriting.

    python examples/digits_on_demand.py [--epochs 20] [--out DIR]

new.png: new digits, one column per label. same_hand.png: the code of a test digit (its slant, its
thickness) decoded with each of the ten labels. Use few units: with many, the code encodes the
digit, too, and may contradict the label.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from scratchvae import ConditionalVAE, load_data
from scratchvae.pictures import plots

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--out", type=Path, help="folder; default: a new temporary one")
options = parser.parse_args()

X, y = load_data("strokes")
X_test, y_test = load_data("strokes", split="test")
cvae = ConditionalVAE(latent_dim=3, hidden=(200, 100), seed=0).fit(X, y, epochs=options.epochs)
print(f"test ELBO given the label: {cvae.score(X_test, y_test):.1f} nats per digit")

labels = np.arange(10)
new = cvae.sample(60)  # without y, labels are cycled
rows = []
for i in range(4):
    mu, _ = cvae.encode(X_test[i : i + 1], y_test[i : i + 1])
    rows += [X_test[i : i + 1] / 255, cvae.decode(np.repeat(mu, 10, axis=0), labels)]

out = options.out or Path(tempfile.mkdtemp(prefix="on-demand-"))
out.mkdir(parents=True, exist_ok=True)
for name, images, title, columns in (
    ("new.png", new, "new digits for each label", 10),
    ("same_hand.png", np.concatenate(rows), "a test digit, and its code under each label", 11),
):
    with (out / name).open("xb") as f:  # x: never overwrite a file
        plots.samples(cvae.rows_.images(images), title, columns).savefig(f, dpi=110)
    print(out / name)
