"""A VAE with a wrong gradient still draws digits; a gradient check is not fooled.

    python examples/wrong_gradient.py [--epochs 6] [--out DIR]

In several public VAEs, backward draws new noise instead of reusing forward's. For the VAE with this
bug and without it, a figure shows reconstructed test digits and the error of each gradient.
"""

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchvae import VAE, load_data
from scratchvae.evaluate import evaluate
from scratchvae.gradcheck import check_model
from scratchvae.pictures import plots
from scratchvae.verify import BUGS

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--out", type=Path, help="folder; default: a new temporary one")
options = parser.parse_args()

X, X_test = load_data("strokes")[0], load_data("strokes", split="test")[0]
small = X[:4].reshape(4, 28, 28)[:, 9:19:2, 9:19:2].reshape(4, 25)  # 5 pixels by 5
out = options.out or Path(tempfile.mkdtemp(prefix="wrong-gradient-"))
out.mkdir(parents=True, exist_ok=True)
for name, what, switch in (
    ("wrong_gradient.png", "Noise drawn again in backward", BUGS["noise redrawn in backward"]),
    ("right_gradient.png", "Noise kept from forward", nullcontext),
):
    with switch():
        vae = VAE(latent_dim=16, hidden=(200,), seed=0).fit(X, epochs=options.epochs)
        twin = VAE(latent_dim=3, hidden=(7,), dtype="float64").build(25)
        report = check_model(twin, small, np.random.default_rng(0).standard_normal((4, 3)))
        elbo = evaluate(vae, X_test).elbo
        rows = [X_test[:10], X_test[10:20]]
        digits = np.concatenate([a for row in rows for a in (row / 255, vae.reconstruct(row))])

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    left.imshow(plots.grid(vae.rows_.images(digits), 10), cmap="gray_r", vmin=0, vmax=1)
    left.set_axis_off()
    title = f"{what}: test ELBO {elbo:.1f} nats\ntest digits above their reconstructions"
    left.set_title(title, fontsize=10, loc="left")
    errors = [min(max(leaf.error, 1e-13), 10) for leaf in report.leaves]
    colours = [plots.LIGHT if leaf.verdict == "PASS" else plots.MIDDLE for leaf in report.leaves]
    right.barh([f"d{leaf.name}" for leaf in report.leaves], errors, left=1e-14, color=colours)
    right.set(xscale="log", xlim=(1e-14, 10), ylim=(len(errors) - 0.5, -0.5))
    right.set_title("relative error of each gradient", fontsize=10, loc="left")
    for y, leaf in enumerate(report.leaves):
        right.text(2e-14, y, leaf.verdict, va="center", fontsize=8)
    with (out / name).open("xb") as f:  # x: never overwrite a file
        figure.savefig(f, dpi=110)
    print(f"{what}: test ELBO {elbo:.2f} nats, gradients {report.verdict}; {out / name}")
