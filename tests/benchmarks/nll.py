"""The importance-weighted bound of 1,000 images with K = 500: this project's, or PyTorch's.

    python nll.py scratchvae|torch [K]      prints the seconds, and the peak of the memory in MB

The model is the blog post's VAE with fresh weights; the pixels are binary, at random.
"""

import resource
import sys
import time

import numpy as np

D, H, Z, N = 784, 400, 32, 1000


def ours(X, k):
    from scratchvae import VAE

    vae = VAE(latent_dim=Z, hidden=(H,)).build(D)
    return lambda: vae.score_samples(X, k)


def torchs(X, k, chunk=50):
    """A straightforward batched version: all K samples of `chunk` images at once."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    encoder, head = nn.Linear(D, H), nn.Linear(H, 2 * Z)
    decoder = nn.Sequential(nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, D))
    X = torch.from_numpy(X.astype(np.float32))

    @torch.no_grad()
    def bound():
        parts = []
        for x in X.split(chunk):
            mu, logvar = head(F.relu(encoder(x))).chunk(2, dim=1)
            eps = torch.randn(k, len(x), Z)
            z = mu + eps * (0.5 * logvar).exp()
            logits = decoder(z)
            rec = F.binary_cross_entropy_with_logits(
                logits, x.expand_as(logits), reduction="none"
            ).sum(dim=2)
            log_w = 0.5 * (eps**2 + logvar - z**2).sum(dim=2) - rec
            parts.append(torch.logsumexp(log_w, dim=0) - np.log(k))
        return torch.cat(parts)

    return bound


if __name__ == "__main__":
    which, k = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500
    X = np.random.default_rng(0).random((N, D)) < 0.2
    bound = (ours if which == "scratchvae" else torchs)(X, k)
    start = time.perf_counter()
    bound()
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
