"""How well single units tell the true factors of `strokes`: the Mutual Information Gap.

    python examples/recipes/mig.py

The embedded digits are drawn from five known factors, so the gap (Chen et al., arXiv:1802.04942)
can be measured, for a VAE and for larger beta. There is no published number for this data set.
"""

import argparse

import numpy as np

from scratchvae import VAE, InputError
from scratchvae.data.batches import check_codes
from scratchvae.data.strokes import FACTORS, generate
from scratchvae.errors import whole_number
from scratchvae.evaluate.metrics import active_units


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
    bins = whole_number(bins, "bins", least=2)
    mu = check_codes(mu, np.shape(mu)[-1] if np.ndim(mu) else 0, "codes")
    factors = check_codes(factors, np.shape(factors)[-1] if np.ndim(factors) else 0, "factors")
    if len(factors) != len(mu):
        raise InputError(f"factors must have a row for each of the {len(mu)} codes")
    codes = [_bins(unit, bins) for unit in mu.T]
    gaps = np.empty(factors.shape[1])
    for k, factor in enumerate(factors.T):
        distinct, levels = np.unique(factor, return_inverse=True)
        if len(distinct) == 1:
            raise InputError(f"factor {k} is constant: its entropy is zero, so it has no gap")
        levels = levels if len(distinct) <= bins else _bins(factor, bins)
        entropy = _entropy(levels)
        information = sorted(_entropy(c) + entropy - _entropy(c + bins * levels) for c in codes)
        gaps[k] = (information[-1] - (information[-2] if len(information) > 1 else 0.0)) / entropy
    return float(gaps.mean()), gaps


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()

    X, _, _ = generate("train")
    X_test, _, factors = generate("test")
    print(f"{'':10}{'MIG':>7}{'active':>8}{'ELBO':>9}   {'  '.join(FACTORS)}")
    for beta in (1.0, 4.0, 10.0):
        vae = VAE(latent_dim=10, beta=beta, seed=a.seed).fit(X, epochs=a.epochs)
        mu = vae.transform(X_test)
        mean, gaps = mig(mu, factors)
        elbo = vae.score_samples(X_test).mean()
        each = "  ".join(f"{gap:{len(name)}.3f}" for gap, name in zip(gaps, FACTORS, strict=True))
        print(f"beta {beta:<5g}{mean:7.3f}{active_units(mu).sum():8}{elbo:9.2f}   {each}")


if __name__ == "__main__":
    main()
