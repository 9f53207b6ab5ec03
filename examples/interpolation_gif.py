"""A GIF in which each digit turns into the next.

    python examples/interpolation_gif.py [--digits 3175] [--epochs 10] [--out digits.gif]

It interpolates between the codes of test digits and decodes one code per frame.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image  # Pillow comes with matplotlib

from scratchvae import VAE, load_data
from scratchvae.pictures import gallery

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--digits", default="3175")
parser.add_argument("--frames", type=int, default=20, help="frames from one digit to the next")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--out", type=Path, help="default: digits.gif in a new temporary folder")
options = parser.parse_args()

X, _ = load_data("strokes")
X_test, y_test = load_data("strokes", split="test")
vae = VAE(latent_dim=10, hidden=(200,), seed=0).fit(X, epochs=options.epochs)

rows = [np.flatnonzero(y_test == int(digit))[0] for digit in options.digits]
mu, _ = vae.encode(X_test[rows])
walk = gallery.interpolated(mu, np.roll(mu, -1, axis=0), options.frames + 1)  # back to the first
frames = vae.decode(walk[:, :-1].reshape(-1, mu.shape[1])).reshape(-1, 28, 28)
images = [
    Image.fromarray((255 * (1 - frame)).astype(np.uint8)).resize((224, 224)) for frame in frames
]

out = options.out or Path(tempfile.mkdtemp(prefix="gif-")) / "digits.gif"
with out.open("xb") as f:  # x: never overwrite a file
    images[0].save(f, "gif", save_all=True, append_images=images[1:], duration=50, loop=0)
print(f"{out}: {len(images)} frames")
