"""The PyTorch script that scratchvae is measured beside: the blog post's module on grey MNIST.

    python tests/benchmarks/torch_mnist.py DIR    (needs torch; DIR holds the gzipped IDX files)

Ten epochs, 784-400-20, batch 128, Adam 1e-3, seed 0; prints both losses after each epoch, and the
wall time.
"""

import gzip
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

Z, BATCH, EPOCHS = 20, 128, 10


class SimpleVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())
        self.fc_mu, self.fc_logvar = nn.Linear(400, Z), nn.Linear(400, Z)
        self.decoder = nn.Sequential(
            nn.Linear(Z, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid()
        )

    def loss(self, x):
        """Mean nats per example."""
        h = self.encoder(x)
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        x_hat = self.decoder(mu + torch.randn_like(mu) * (0.5 * logvar).exp())
        rec = nn.functional.binary_cross_entropy(x_hat, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (rec + kl) / len(x)


def read(path):
    pixels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16)
    return torch.from_numpy(pixels.reshape(-1, 784).copy())


def main():
    start = time.perf_counter()
    torch.manual_seed(0)
    folder = Path(sys.argv[1])
    X, X_test = (read(folder / f"{split}-images-idx3-ubyte.gz") for split in ("train", "t10k"))
    model = SimpleVAE()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(X)).split(BATCH):
            loss = model.loss(X[rows].float() / 255)
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(rows)
        with torch.no_grad():
            test = model.loss(X_test.float() / 255).item()
        print(f"epoch {epoch + 1:2}  train {total / len(X):.2f}  test {test:.2f}", flush=True)
    print(f"{time.perf_counter() - start:.1f} s with PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
