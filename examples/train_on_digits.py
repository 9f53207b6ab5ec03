"""Train a VAE on MNIST or on the embedded digits, and draw what it learned.

    python examples/train_on_digits.py [--mnist DIR] [--epochs 5] [--out DIR]

--mnist DIR is the folder with the four original files, plain or gzipped. The pictures go to --out,
or to a new temporary folder; existing pictures are not overwritten.
"""

import argparse
import tempfile
from pathlib import Path

from scratchvae import VAE, load_data
from scratchvae.pictures import plots

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--mnist", metavar="DIR")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--out", type=Path)
options = parser.parse_args()

name = "mnist" if options.mnist else "strokes"
if not options.mnist:
    print("no --mnist DIR was given: training on the embedded digits")
X, _ = load_data(name, "train", options.mnist)
X_test, y_test = load_data(name, "test", options.mnist)

vae = VAE(latent_dim=2, hidden=(200,), seed=0)
vae.fit(X, X_test=X_test, epochs=options.epochs, verbose=True)
print(f"test ELBO: {vae.score_samples(X_test).mean():.1f} nats per digit")

mu, _ = vae.encode(X_test)
images = vae.rows_.images  # rows of 784 pixels to images of 28 x 28
originals, decoded = images(X_test[:32] / 255), images(vae.reconstruct(X_test[:32]))
pictures = {
    "codes.png": plots.latent_plane(mu, y_test),
    "reconstructions.png": plots.reconstructions(originals, decoded),
    "samples.png": plots.samples(images(vae.sample(100))),
}
out = options.out or Path(tempfile.mkdtemp(prefix="digits-"))
out.mkdir(parents=True, exist_ok=True)
for file, figure in pictures.items():
    with (out / file).open("xb") as f:  # x: never overwrite a file
        figure.savefig(f, dpi=110)
    print(out / file)
