"""How well single units tell the true factors of `strokes`: the Mutual Information Gap.

    python examples/recipes/mig.py

The embedded digits are drawn from five known factors, so the gap (Chen et al., arXiv:1802.04942)
can be measured, for a VAE and for larger beta. There is no published number for this data set.
"""

import argparse

from scratchvae import VAE
from scratchvae.data.strokes import FACTORS, generate
from scratchvae.evaluate.metrics import active_units, mig

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
