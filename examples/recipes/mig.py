"""How well single units encode the true factors of images, as beta grows: MIG and SAP.

    python examples/recipes/mig.py [--control equal|far] [--save DIR]

The embedded data sets `shapes` and `strokes`, and dSprites (--data FILE, the published .npz), are
generated from five known factors. This recipe measures two scores of disentanglement on them for
several beta and seeds: the Mutual Information Gap (Chen et al., arXiv:1802.04942) and the Separated
Attribute Predictability (Kumar et al., arXiv:1711.00848). There is no published number for the
embedded data sets. --control draws `shapes` with other ranges: equal ones for x and y, or smaller
shapes that move farther. The last line compares the best beta with beta 1: in `best`, `one` and
`ratio`, collapsed units count as constant; `all_best`, `all_one` and `all_ratio` use the usual MIG
of all units. With --save, models already in DIR are not trained again.
"""

import argparse
from pathlib import Path

import numpy as np
from recipe_tools import print_result

from scratchvae import VAE, DataError, InputError, load_model
from scratchvae.backend import noise
from scratchvae.data import shapes, strokes
from scratchvae.data.batches import check_codes
from scratchvae.errors import whole_number
from scratchvae.evaluate import evaluate
from scratchvae.evaluate.metrics import active_units
from scratchvae.files.npz import read_npz
from scratchvae.files.reading import UnreadableFile, refusing

EMBEDDED = {"shapes": shapes, "strokes": strokes}
SETTINGS = {"latent_dim": 10, "hidden": (256, 256)}
TRAINING = {"batch_size": 128, "lr": 2e-3}
EPOCHS = 20
DSPRITES = ("colour", "shape", "scale", "rotation", "x", "y")
CONTROLS = {
    "equal": {"x": shapes.FACTORS["y"]},
    "far": {"scale": (4.0, 8.0), "x": (-8.5, 8.5), "y": (-5.5, 5.5)},
}
TEST = 10_000  # test rows of dSprites, at most a tenth


def mig(mu, factors, bins=20):
    """The Mutual Information Gap: whether each true factor is encoded by one unit alone.

    mu (N,Z) are codes, factors (N,F) the true factors. The gap of a factor is its mutual
    information with the most informative unit, minus that with the second, over the factor's
    entropy: from 0 to 1 (Chen et al., arXiv:1802.04942). Returns the mean gap, and all gaps (F,).

    Mutual information is estimated from histograms, as in Locatello et al. (arXiv:1811.12359): each
    unit's codes in `bins` bins of equal width from minimum to maximum; likewise each factor, unless
    it has at most `bins` distinct values, which then get a bin each. The result depends on the
    bins. For few rows the estimate is biased up, by about (bins - 1)^2 / 2N nats; with several
    units, most of that cancels in the gap. Raises InputError for invalid codes, or a constant
    factor.
    """
    information, entropies = mutual_information(mu, factors, bins)
    gaps = _gaps(information / entropies)
    return float(gaps.mean()), gaps


def mutual_information(mu, factors, bins=20):
    """The mutual information of each unit with each factor (Z,F), and each factor's entropy (F,).

    In nats; the estimate, arguments and errors are those of `mig`.
    """
    bins = whole_number(bins, "bins", least=2)
    mu, factors = _checked(mu, factors)
    codes = [_bins(unit, bins) for unit in mu.T]
    information, entropies = np.empty((mu.shape[1], factors.shape[1])), np.empty(factors.shape[1])
    for k, factor in enumerate(factors.T):
        distinct, levels = np.unique(factor, return_inverse=True)
        levels = levels if len(distinct) <= bins else _bins(factor, bins)
        entropies[k] = _entropy(levels)
        for j, c in enumerate(codes):
            information[j, k] = _entropy(c) + entropies[k] - _entropy(c + bins * levels)
    return information, entropies


def sap(mu, factors, categorical=()):
    """The Separated Attribute Predictability: whether one unit alone predicts each true factor.

    mu (N,Z) are codes, factors (N,F) the true factors; categorical: the numbers of those that are
    classes. A unit's score for a factor is the R^2 of the linear regression of the factor on the
    unit; for classes, it is the balanced accuracy of thresholds on the unit, which cut it into at
    most one interval for each class. The gap of a factor is its best score minus the second: from 0
    to 1 (Kumar et al., arXiv:1711.00848, section 3). The thresholds are fitted and scored on these
    same rows, as in the paper. Returns the mean gap, and all gaps (F,). Raises InputError for
    invalid codes, or a constant factor.
    """
    mu, factors = _checked(mu, factors)
    scores = np.empty((mu.shape[1], factors.shape[1]))
    for k, factor in enumerate(factors.T):
        score = _balanced_accuracy if k in categorical else _r_squared
        scores[:, k] = [score(unit, factor) for unit in mu.T]
    gaps = _gaps(scores)
    return float(gaps.mean()), gaps


def _checked(mu, factors):
    mu = check_codes(mu, np.shape(mu)[-1] if np.ndim(mu) else 0, "codes")
    factors = check_codes(factors, np.shape(factors)[-1] if np.ndim(factors) else 0, "factors")
    if len(factors) != len(mu):
        raise InputError(f"factors must have a row for each of the {len(mu)} codes")
    for k, factor in enumerate(factors.T):
        if (factor == factor[0]).all():
            raise InputError(f"factor {k} is constant: its entropy is zero, so it has no gap")
    return mu.astype(np.float64), factors.astype(np.float64)


def _gaps(scores):
    """The best score of each factor minus the second: (Z,F) -> (F,)."""
    ranked = np.sort(np.pad(scores, ((1, 0), (0, 0))), axis=0)  # with one unit, the second is 0
    return ranked[-1] - ranked[-2]


def _r_squared(unit, factor):
    unit, factor = unit - unit.mean(), factor - factor.mean()
    variances = (unit @ unit) * (factor @ factor)
    return (unit @ factor) ** 2 / variances if variances else 0.0


def _balanced_accuracy(unit, classes):
    """The best balanced accuracy of at most C intervals of the unit, each with one class, by
    dynamic programming: for each class of the last interval, and each end of it, the best sum."""
    _, levels, counts = np.unique(classes, return_inverse=True, return_counts=True)
    order = np.argsort(unit, kind="stable")
    weights = np.eye(len(counts))[levels[order]] / (len(counts) * counts)
    before = np.pad(weights, ((1, 0), (0, 0))).cumsum(axis=0)  # (N + 1, C), of the rows before
    cuts = np.flatnonzero(np.diff(unit[order])) + 1  # equal values cannot be parted
    before = before[[0, *cuts, len(unit)]]
    best = before  # with one interval
    for _ in counts[1:]:
        best = before + np.maximum.accumulate(best.max(axis=1, keepdims=True) - before)
    return best[-1].max()


def _bins(values, bins):
    """The bin index of each value: (N,), from 0 to bins - 1."""
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(len(values), dtype=int)
    return np.minimum((values - low) / (high - low) * bins, bins - 1).astype(int)


def _entropy(levels):
    """The entropy of the empirical distribution of integers, nats."""
    p = np.bincount(levels) / len(levels)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def read_dsprites(path):
    """Images (N, D), factors (N, 5) and their names, of the file of dSprites (Matthey et al. 2017).

    The colour is constant and dropped. Raises DataError if the file has another layout.
    """
    with refusing(path, DataError):
        arrays = read_npz(path, ("imgs", "latents_values"))  # no other: one holds pickled objects
        missing = [name for name in ("imgs", "latents_values") if name not in arrays]
        if missing:
            raise UnreadableFile(f"has no array {' or '.join(missing)}, so it is not dSprites")
        images, factors = arrays["imgs"], arrays["latents_values"]
        if images.ndim != 3 or factors.shape != (len(images), len(DSPRITES)):
            raise UnreadableFile(
                f"should have imgs (N,H,W) and latents_values (N,6), but has {images.shape} and "
                f"{factors.shape}"
            )
        if images.dtype != np.uint8 or images.max(initial=0) > 1:
            raise UnreadableFile("should have imgs of 0 and 1, as bytes")
        if len(images) < 20 or (factors[:, 0] != factors[0, 0]).any():
            raise UnreadableFile("should have 20 rows or more, of one colour")
    return images.reshape(len(images), -1), factors[:, 1:], DSPRITES[1:]


def read(data, control=None):
    """Training images, test images, factors of these (N, F), their names, which are classes."""
    if control and data != "shapes":
        raise InputError("--control is for the data set shapes")
    if data in EMBEDDED:
        of, how = EMBEDDED[data], {"ranges": CONTROLS[control]} if control else {}
        (X, _, _), (X_test, _, factors) = (of.generate(split, **how) for split in of.SIZES)
        names = tuple(of.FACTORS)
    else:
        images, factors, names = read_dsprites(Path(data))
        order = noise.permutation(len(images), seed=0, epoch=0)
        n_test = min(TEST, len(images) // 10)
        X, X_test, factors = images[order[n_test:]], images[order[:n_test]], factors[order[:n_test]]
    return X, X_test, factors, names, [names.index("shape")] if "shape" in names else []


def fitted(X, label, beta, seed, epochs, device="cpu", save=None):
    """The VAE of these settings: read from the folder `save` if it is there, or else trained."""
    vae = VAE(**SETTINGS, beta=beta, seed=seed, device=device)
    path = save and save / f"{label}-beta{beta:g}-seed{seed}-epochs{epochs}.npz"
    if path and path.exists():
        found = load_model(path, device=device)
        if found.get_params() != vae.get_params():
            raise InputError(f"{path} has other settings than this recipe: name another folder")
        return found
    vae.fit(X, epochs=epochs, **TRAINING)
    if path:
        save.mkdir(parents=True, exist_ok=True)
        vae.save(path)
    return vae


def used(mu):
    """The codes (N,Z) with 0 for the units that are not active.

    A collapsed unit's mean still varies a little with the image. Its histogram, from minimum to
    maximum, hides how little, so `mig` would count it as informative, as in arXiv:1811.12359.
    """
    return mu * active_units(mu)


def measured(vae, X_test, factors, categorical):
    """All numbers of one model, on the test split: MIG and SAP of the active units, MIG of all
    units, active units, rec, KL, ELBO (nats), and the MIG of each factor."""
    mu, e = vae.transform(X_test), evaluate(vae, X_test)
    (gap, gaps), (separated, _) = mig(used(mu), factors), sap(used(mu), factors, categorical)
    of_all, _ = mig(mu, factors)
    return np.array([gap, separated, of_all, e.active_units, e.rec, e.kl, e.elbo, *gaps])


def compared(scores, prefix=""):
    """The best score of {beta: (mean, standard error or None)}, that of beta 1, and their ratio.

    The error of the ratio is propagated to first order, as if the two means were independent.
    """
    (best, e_best), (one, e_one) = max(scores.values()), scores[1]
    ratio = best / one
    error = None if e_one is None else ratio * np.hypot(e_best / best, e_one / one)
    numbers = {"best": (best, e_best), "one": (one, e_one), "ratio": (ratio, error)}
    return {prefix + name: number for name, number in numbers.items()}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="shapes", help="shapes, strokes, or the file of dSprites")
    parser.add_argument("--betas", type=float, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--control", choices=CONTROLS, help="draw shapes with other ranges")
    parser.add_argument("--save", type=Path, help="folder of models, to continue a run")
    a = parser.parse_args(argv)
    try:
        X, X_test, factors, names, categorical = read(a.data, a.control)
        label = Path(a.data).stem + (f"-{a.control}" if a.control else "")
        scores = "".join(f"{name:>15}" for name in ("MIG", "SAP", "MIG of all"))
        nats = f"{'active':>8}{'rec':>7}{'KL':>6}{'ELBO':>8}"
        print(f"{'':10}{scores}{nats}   {'  '.join(f'{name:>5}' for name in names)}")
        gaps, gaps_of_all = {}, {}  # {beta: (mean, standard error)}
        for beta in a.betas:
            runs = np.array([
                measured(fitted(X, label, beta, seed, a.epochs, a.device, a.save), X_test, factors,
                         categorical)
                for seed in a.seeds
            ])  # fmt: skip
            mean, n = runs.mean(axis=0), len(runs)
            # one seed has no standard error
            errors = runs.std(axis=0, ddof=1) / n**0.5 if n > 1 else ()
            gaps[beta], gaps_of_all[beta] = (
                (mean[i], errors[i] if n > 1 else None) for i in (0, 2)
            )
            each = "  ".join(
                f"{gap:{max(5, len(name))}.2f}" for gap, name in zip(mean[7:], names, strict=True)
            )
            plus_minus = [f" +-{error:5.3f}" for error in errors[:3]] or [" " * 8] * 3
            scores = "".join(f"{mean[i]:7.3f}{plus_minus[i]}" for i in range(3))
            nats = f"{mean[3]:8.1f}{mean[4]:7.1f}{mean[5]:6.1f}{mean[6]:8.1f}"
            print(f"beta {beta:<5g}{scores}{nats}   {each}", flush=True)
        if 1 in gaps and min(gaps[1][0], gaps_of_all[1][0]) > 0:
            print_result(**compared(gaps), **compared(gaps_of_all, "all_"))
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
