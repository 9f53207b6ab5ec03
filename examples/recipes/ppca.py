"""A linear VAE against the exact likelihood of probabilistic PCA (Tipping & Bishop, 1999).

    python examples/recipes/ppca.py      (half a minute)

With linear encoder and decoder and a Gaussian likelihood, the optimal ELBO is the likelihood of
probabilistic PCA, which has a closed form (Lucas et al., arXiv:1911.02469). The p(x) of any such
decoder is Gaussian, so the importance-weighted bound can be compared with its limit, here for a
deliberately degraded encoder.
"""

import argparse

import numpy as np
from recipe_tools import print_result

from scratchvae import VAE
from scratchvae.train import Trainer

N, D, Z = 1_000, 20, 4
argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()

rng = np.random.default_rng(0)
W = rng.standard_normal((Z, D)) * np.array([[3.0], [2.0], [1.5], [1.0]])
X = rng.standard_normal((N, Z)) @ W + 0.7 * rng.standard_normal((N, D)) + rng.standard_normal(D)

values = np.sort(np.linalg.eigvalsh(np.cov(X.T, bias=True)))[::-1]
noise = values[Z:].mean()
logdet = np.log(values[:Z]).sum() + (D - Z) * np.log(noise)
best = -0.5 * (D * np.log(2 * np.pi) + logdet + D)

vae = VAE(latent_dim=Z, hidden=(), likelihood="gaussian", dtype="float64")
epochs = 12_000
vae.build(D)
Trainer(vae, X, batch_size=N, lr=lambda epoch: 0.02 * (1 - epoch / epochs) + 1e-6).run(epochs)
elbo = np.mean([vae.score_samples(X, seed=seed).mean() for seed in range(200)])
print(f"pPCA, closed form      {best:10.4f} nats per example")
print(f"ELBO of the linear VAE {elbo:10.4f}   expected within 0.01; difference {elbo - best:+.4f}")

vae.params_.head_b[Z:] += 1.5  # logvar: too wide a posterior
vae.params_.head_W[:, 0] *= 0.8
p = vae.params_
covariance = p.out_W.T @ p.out_W + np.exp(p.x_logvar[0]) * np.eye(D)
centred = X - p.out_b
quadratic = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred)
exact = np.mean(-0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + quadratic))
print(f"\nlog p(x) of its decoder {exact:9.4f}; with a worse encoder the bound is")
for k in (1, 10, 100, 1_000, 10_000):
    bound = vae.score_samples(X[:200], k)
    exact_rows = -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + quadratic[:200])
    print(f"  K = {k:6}   {np.mean(bound - exact_rows):+9.4f} nats from it")
print_result(elbo=(elbo, None), difference=(elbo - best, None))
