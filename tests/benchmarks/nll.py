"""What evaluates a trained model, this project's or PyTorch's: seconds, and peak memory in MB.

    python nll.py scratchvae|torch [K]                 the importance-weighted bound of 1,000 images
    python nll.py scratchvae|torch elbo|encode|decode  10,000 images or codes: the median of seven

The model is the blog post's VAE with fresh weights; the pixels are binary, at random. K is 500 by
default. PyTorch computes as plain code would: `chunk` images with all their samples at once.
"""

import resource
import sys
import time
from statistics import median

import numpy as np

D, H, Z, N, MANY = 784, 400, 32, 1000, 10_000


def ours(X, k, codes):
    from scratchvae import VAE

    vae = VAE(latent_dim=Z, hidden=(H,)).build(D)
    return {
        "bound": lambda: vae.score_samples(X, k),
        "elbo": lambda: vae.score_samples(X),
        "encode": lambda: vae.encode(X),
        "decode": lambda: vae.decode(codes),
    }


def torchs(X, k, codes, chunk=50):
    import torch
    from torch import nn
    from torch.nn import functional as F

    encoder, head = nn.Linear(D, H), nn.Linear(H, 2 * Z)
    decoder = nn.Sequential(nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, D))
    X, codes = torch.from_numpy(X.astype(np.float32)), torch.from_numpy(codes)

    def encode(x):
        return head(F.relu(encoder(x))).chunk(2, dim=1)

    def cost(z, x):
        logits = decoder(z)
        x = x.expand_as(logits)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=-1)

    def bound():
        parts = []
        for x in X.split(chunk):
            mu, logvar = encode(x)
            eps = torch.randn(k, len(x), Z)
            z = mu + eps * (0.5 * logvar).exp()
            log_w = 0.5 * (eps**2 + logvar - z**2).sum(dim=2) - cost(z, x)
            parts.append(torch.logsumexp(log_w, dim=0) - np.log(k))
        return torch.cat(parts)

    def elbo():
        parts = []
        for x in X.split(500):
            mu, logvar = encode(x)
            z = mu + torch.randn(len(x), Z) * (0.5 * logvar).exp()
            kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(dim=1)
            parts.append(-cost(z, x) - kl)
        return torch.cat(parts)

    calls = {
        "bound": bound,
        "elbo": elbo,
        "encode": lambda: encode(X),
        "decode": lambda: torch.sigmoid(decoder(codes)),
    }
    return {name: torch.no_grad()(call) for name, call in calls.items()}


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    which, what = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "500"
    k = int(what) if what.isdigit() else None
    rng = np.random.default_rng(0)
    X = rng.random((N if k else MANY, D)) < 0.2
    if k is None:
        X = X.astype(np.float32)  # as a user has them
    codes = rng.standard_normal((MANY, Z)).astype(np.float32)
    call = (ours if which == "scratchvae" else torchs)(X, k, codes)["bound" if k else what]
    times = [seconds(call) for _ in range(1 if k else 7)]
    print(median(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
