"""The pictures of docs/understand and docs/results.md, and the numbers that those pages quote.

    python docs/pictures/make.py NAME [--epochs N] [--out docs/images]

NAME is one of from_scratch, autoencoder_to_vae, latent_space, reparameterization, elbo, beta,
collapse, blind_spots, few_labels. Each writes (or replaces) NAME.png and prints its numbers. All
use seed 0 and embedded data sets (the digits, except for beta), and take seconds to two minutes on
two cores; few_labels draws what examples/recipes/m2.py wrote (--curve) on MNIST.
"""

import argparse
import csv
import io
import runpy
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scratchvae import VAE, Autoencoder, load_data
from scratchvae.errors import NonFiniteError
from scratchvae.evaluate.collapse import collapse_report
from scratchvae.evaluate.metrics import active_units, unit_kl
from scratchvae.gradcheck import check_model
from scratchvae.gradcheck.report import GOOD
from scratchvae.pictures import gallery, plots, walks
from scratchvae.verify import meaning
from scratchvae.verify.known_bugs import BUGS, half_forgotten, kl_gradients_times

DARK, MIDDLE, LIGHT = plots.DARK, plots.MIDDLE, plots.LIGHT
RECIPE = Path(__file__).parents[2] / "examples" / "recipes" / "mig.py"
FROM_SCRATCH = Path(__file__).parents[2] / "examples" / "vae_from_scratch.py"
sys.path.append(str(RECIPE.parent))  # for what it imports


def bare(axes, title, x="", y=""):
    plots.hide_spines(axes)
    plots.set_title(axes, title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def picture(axes, images, columns, title, side=28):
    plots.show_image(axes, plots.grid(images.reshape(-1, side, side), columns))
    axes.set_axis_off()
    plots.set_title(axes, title)


def digits():
    X, _ = load_data("strokes")
    return X, *load_data("strokes", split="test")


def from_scratch(epochs=20):
    """What examples/vae_from_scratch.py draws."""
    file = runpy.run_path(str(FROM_SCRATCH))
    X, X_test, _ = (a / 255 for a in digits())
    rng = np.random.default_rng(0)
    p = file["init"](784, 200, 8, rng)
    error = file["check"](p, X[:10], rng.standard_normal((10, 8)), rng)
    print(f"backward and finite differences differ by {error:.0e}")
    file["train"](p, X, epochs, rng)
    return file["draw"](p, X_test[:16], rng)


def autoencoder_to_vae(epochs=10):
    """The codes of the test digits with two units, and decoded samples of the prior."""
    X, X_test, y_test = digits()
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    planes, rows = figure.subplots(2, 2, height_ratios=(3.2, 1))
    for plane, row, kind in zip(planes, rows, (Autoencoder, VAE), strict=True):
        model = kind(latent_dim=2, hidden=(200,), seed=0).fit(X, epochs=epochs)
        codes = model.transform(X_test)
        name = "autoencoder" if kind is Autoencoder else "VAE"
        plane.scatter(*codes.T, s=4, c=y_test, cmap="turbo", linewidths=0, rasterized=True)
        for label in range(10):
            at = np.median(codes[y_test == label], axis=0)
            disc = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
            plane.text(*at, str(label), weight="bold", ha="center", va="center", bbox=disc)
        circle = np.linspace(0, 2 * np.pi, 100)
        plane.plot(2 * np.cos(circle), 2 * np.sin(circle), "--", color=DARK)
        plane.set_aspect("equal", "datalim")
        bare(plane, f"{name}: codes of the test digits", "first unit", "second unit")
        picture(row, model.sample(16), 8, f"{name}: z from N(0, I), decoded")
        spread, inside = codes.std(axis=0), (np.hypot(*codes.T) < 2).mean()
        print(f"{name}: spread of the units {np.round(spread, 2)}, in the circle {inside:.0%}")
    return figure


def latent_space(epochs=15):
    """The plane of two units, decoded."""
    X, X_test, _ = digits()
    vae = VAE(latent_dim=2, hidden=(200,), seed=0).fit(X, epochs=epochs)
    grid = np.linspace(-3, 3, 13)
    codes = gallery.plane(np.zeros(2), (0, 1), grid, grid)
    decoded = vae.decode(codes.reshape(-1, 2)).reshape(13, 13, 28, 28)
    mu, _ = vae.encode(X_test)
    print(f"means of the test digits: spread {np.round(mu.std(axis=0), 2)}")
    figure = plots.manifold(decoded, grid, grid, (0, 1), "two units, decoded on a grid")
    figure.set_size_inches(6, 6.2)
    return figure


def reparameterization(epochs=None):
    """The noise becomes a sample; two estimates of the same gradient."""
    mu, sigma, n = 0.8, 0.5, 100_000
    eps = np.random.default_rng(0).standard_normal(n)
    z = mu + sigma * eps
    by_sample = 2 * z  # dz/dmu = 1, so d(z^2)/dmu = 2 z
    by_score = z**2 * (z - mu) / sigma**2  # z^2 d(log q)/dmu
    for name, estimates in (("sample", by_sample), ("score", by_score)):
        print(f"by the {name}: mean {estimates.mean():.3f}, spread {estimates.std():.2f}")
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for e in np.linspace(-2, 2, 9):
        left.plot((e, mu + sigma * e), (1, 0), "-", color=LIGHT)
        left.plot((e,), (1,), "o", color=DARK)
        left.plot((mu + sigma * e,), (0,), "o", color=MIDDLE)
    left.set_yticks((1, 0), (r"$\varepsilon$", r"$z$"), fontsize=13)
    left.set_ylim(-0.3, 1.3)
    bare(left, rf"$z = \mu + \sigma\varepsilon$, with $\mu$ = {mu}, $\sigma$ = {sigma}")
    bins = np.linspace(-8, 14, 90)
    for estimates, label, colour in (
        (by_sample, "through the sample", MIDDLE),
        (by_score, "without it, by the score", LIGHT),
    ):
        right.hist(estimates, bins, density=True, color=colour, alpha=0.8, label=label)
    right.axvline(2 * mu, color=DARK, linestyle="--", label=f"the gradient, {2 * mu:g}")
    right.legend(frameon=False, fontsize=9)
    bare(right, r"estimates of $d\,E[z^2]/d\mu$, one sample each", "estimate", "density")
    return figure


def elbo(epochs=None):
    """One number x from N(z, s^2) with z from N(0, 1): everything is known in closed form."""
    x, s, mu = 1.5, 0.5, 1.5 / (1 + 0.5**2)
    log_p = -0.5 * (np.log(2 * np.pi * (1 + s**2)) + x**2 / (1 + s**2))
    sigma = np.linspace(0.08, 1.3, 300)
    rec = 0.5 * (np.log(2 * np.pi * s**2) + ((x - mu) ** 2 + sigma**2) / s**2)
    kl = 0.5 * (mu**2 + sigma**2 - 1 - 2 * np.log(sigma))
    best = sigma[(rec + kl).argmin()]
    right_one = s / np.sqrt(1 + s**2)
    print(f"-log p(x) {-log_p:.4f}; least rec + KL {(rec + kl).min():.4f}, at sigma {best:.3f}")
    narrow = np.interp(0.1, sigma, rec + kl)
    print(f"the posterior has sigma {right_one:.3f}; at 0.1 the sum is {narrow:.2f}")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(sigma, rec, "--", color=LIGHT, label="rec: what x costs, given the code")
    axes.plot(sigma, kl, ":", color=MIDDLE, label="KL: what the code costs")
    axes.plot(sigma, rec + kl, color=DARK, label="their sum, the negative ELBO")
    axes.axhline(-log_p, color="0.4", linewidth=1)
    axes.text(1.3, -log_p - 0.07, r"$-\log p(x)$", va="top", ha="right", color="0.3")
    axes.fill_between(sigma, -log_p, rec + kl, color=LIGHT, alpha=0.25, linewidth=0)
    axes.plot((best,), ((rec + kl).min(),), "o", color=DARK)
    axes.set_ylim(0, 5)
    axes.legend(frameon=False, fontsize=9, loc="upper center")
    bare(axes, "the bound is tight at the true posterior", r"$\sigma$ of $q(z|x)$", "nats")
    return figure


def beta(epochs=None):
    """The five units with the largest KL, traversed, at beta 1 and 8, and what they encode."""
    recipe = runpy.run_path(str(RECIPE))
    X, X_test, factors, names, _ = recipe["read"]("shapes")
    epochs = recipe["EPOCHS"] if epochs is None else epochs
    figure = Figure(figsize=(9, 3.1), layout="constrained")
    for axes, value in zip(figure.subplots(1, 2), (1, 8), strict=True):
        vae = recipe["fitted"](X, "shapes", value, 0, epochs)
        mu, logvar = vae.encode(X_test)
        active, (information, _) = active_units(mu), recipe["mutual_information"](mu, factors)
        units = np.argsort(-unit_kl(mu, logvar))[:5]
        central = np.abs(mu[:, units]).max(axis=1).argmin()  # the code that is nearest to 0
        values = np.tile(np.linspace(-2, 2, 7), (len(units), 1))
        images = vae.decode(walks.traversed(mu[central], units, values).reshape(-1, mu.shape[1]))
        picture(axes, images, 7, rf"$\beta$ = {value}", 32)
        across, down = (34 * np.arange(n + 1) - 0.5 for n in (7, len(units)))  # with a margin of 1
        axes.vlines(across, down[0], down[-1], color="0.8", linewidth=0.8)
        axes.hlines(down, across[0], across[-1], color="0.8", linewidth=0.8)
        gap, _ = recipe["mig"](recipe["used"](mu), factors)
        print(f"beta {value}: MIG {gap:.3f}; of each unit, the nats of {', '.join(names)}")
        for row, unit in enumerate(units):
            told = information[unit]
            best, second = np.argsort(-told)[:2]
            label = f"{names[best]} {told[best]:.1f}, {names[second]} {told[second]:.1f}"
            label = label if active[unit] else "collapsed"
            axes.text(-6, 34 * row + 17, label, ha="right", va="center", fontsize=9)
            print(f"  unit {unit}: {np.round(told, 2)} {label}")
    return figure


def collapse(epochs=15):
    """The KL of each unit: with too many units, and with a mean in place of a sum."""
    X, X_test, _ = digits()
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    styles = (
        ("sum over the pixels", 1.0, DARK, "o-"),
        ("mean over the pixels", 784.0, MIDDLE, "s--"),
    )
    for label, value, colour, style in styles:
        vae = VAE(latent_dim=32, hidden=(200,), beta=value, seed=0).fit(X, epochs=epochs)
        kl = np.sort(unit_kl(*vae.encode(X_test)))[::-1]
        left.plot(np.arange(1, 33), kl, style, color=colour, label=label, markersize=4)
        print(f"beta {value:g}: {collapse_report(vae, X_test)}\n")
        if value > 1:
            picture(right, vae.sample(16), 8, "samples of the collapsed one")
    left.legend(frameon=False)
    bare(left, "the KL of each unit, largest first", "unit", "nats")
    return figure


def blind_spots(epochs=6):
    """Samples of a right VAE and of six wrong ones, and which check notices each."""
    X, X_test, _ = digits()
    small = X[:4].reshape(4, 28, 28)[:, 9:18:3, 9:18:3].reshape(4, 9)  # 3 pixels by 3
    eps = np.random.default_rng(0).standard_normal((4, 2))
    switches = {
        "no bug": nullcontext,
        "exp(logvar) as the standard deviation": BUGS["exp logvar as standard deviation"],
        "the half forgotten in backward": half_forgotten(),
        "noise redrawn in backward": BUGS["noise redrawn in backward"],
        "the sign of the KL in backward": kl_gradients_times(1, -1),
        "the KL dropped": BUGS["kl identically zero"],
        "a mean over the pixels instead of a sum": BUGS["mean of pixels and sum of units"],
    }
    figure = Figure(figsize=(9, 6.3), layout="constrained")
    for axes, (name, switch) in zip(figure.subplots(7, 1), switches.items(), strict=True):
        with switch():
            vae = VAE(latent_dim=8, hidden=(200,), seed=0)
            try:
                vae.fit(X, epochs=epochs)
            except NonFiniteError:  # this one does not survive its training
                vae = None
            twin = VAE(latent_dim=2, hidden=(4,), dtype="float64").build(9)
            leaves = check_model(twin, small, eps).leaves
            wrong = [f"d{leaf.name}" for leaf in leaves if leaf.verdict not in GOOD]
            findings = meaning.findings(twin, small, eps, None, 0)
            found = [finding.name for finding in findings if finding.verdict not in GOOD]
        picture(axes, np.zeros((20, 784)) if vae is None else vae.sample(20), 20, name)
        for x, check, seen in ((0.65, "differences", wrong), (0.84, "meaning", found)):
            text, colour = (f"{check}: FAIL", MIDDLE) if seen else (f"{check}: PASS", LIGHT)
            box = {"boxstyle": "round,pad=0.25", "fc": colour, "ec": "none"}
            where = {"transform": axes.transAxes, "fontsize": 10, "bbox": box}
            axes.text(x, 1.16, text, color="white", **where)
        if vae is None:
            axes.text(8, 17, "training overflowed in the first epoch", fontsize=11, color=DARK)
        elbo = "none" if vae is None else f"{vae.score_samples(X_test).mean():.1f} nats"
        print(f"{name}: test ELBO {elbo}; {', '.join(wrong + found) or 'all checks pass'}")
    return figure


def few_labels(epochs=None):
    """The accuracy of M2 on MNIST with 100 labels, by epoch."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    styles = ("labels first, then beta 4, then 1", DARK, "-"), ("the paper's batches", MIDDLE, "--")
    for name, (label, colour, style) in zip(("recipe", "plain"), styles, strict=True):
        with open(Path(__file__).with_name(f"few_labels_{name}.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        epoch, accuracy = ([float(row[key]) for row in rows] for key in ("epoch", "accuracy"))
        axes.plot(epoch, accuracy, style, color=colour, label=label)
        print(
            f"{name}: {accuracy[-1]:.2f} % after {len(rows)} epochs, at best {max(accuracy):.2f} %"
        )
        if len(betas := {row["beta"] for row in rows}) > 1:
            axes.axvline(len(rows) / len(betas) + 0.5, color=LIGHT, zorder=0)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False)
    bare(axes, "M2 on the pixels of MNIST, 100 labels", "epoch", "accuracy on validation images, %")
    return figure


MAKERS = (
    *(from_scratch, autoencoder_to_vae, latent_space, reparameterization, elbo, beta),
    *(collapse, blind_spots, few_labels),
)

if __name__ == "__main__":
    makers = {maker.__name__: maker for maker in MAKERS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=makers, metavar="NAME")
    parser.add_argument("--epochs", type=int, help="to try it out: fewer than the page has")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    given = {} if options.epochs is None else {"epochs": options.epochs}
    path = options.out / f"{options.name}.png"
    full = io.BytesIO()
    makers[options.name](**given).savefig(full, dpi=90)
    few = Image.open(full).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)  # 64 colours: a third of the size
    print(path)
