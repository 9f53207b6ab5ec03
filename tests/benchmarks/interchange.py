"""Weights to PyTorch's `SimpleVAE` and back, through safetensors files, by the real PyTorch.

    python tests/benchmarks/interchange.py    (needs torch and safetensors: make bench has both)

Fails unless each weight arrives bit for bit and both compute the same, to 1e-5 of the largest.
"""

import tempfile
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch_mnist import SimpleVAE, Z

from scratchvae import VAE, load_data, load_model


def both(module, vae, X):
    """The largest difference of what they compute, relative to the largest entry of each."""
    x = torch.from_numpy(X).float() / 255
    with torch.no_grad():
        h = module.encoder(x)
        mu, logvar = module.fc_mu(h), module.fc_logvar(h)
        logits = module.decoder[:-1](mu)
    ours = *vae.encode(X), vae.decoder(mu.numpy())
    pairs = zip(ours, (a.numpy() for a in (mu, logvar, logits)), strict=True)
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


def main():
    torch.manual_seed(0)
    X, _ = load_data("strokes")
    trained = VAE(latent_dim=Z).fit(X[:2000], epochs=2)
    fresh = SimpleVAE()
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "there.safetensors", Path(folder) / "back.safetensors"
        trained.save(there)
        module = SimpleVAE()
        module.load_state_dict(load_file(there))
        save_file(fresh.state_dict(), back)
        read = load_model(back)
    print(f"torch {torch.__version__}, safetensors {safetensors.__version__}")
    for words, theirs, ours in (
        ("scratchvae to PyTorch", module, trained),
        ("PyTorch to scratchvae", fresh, read),
    ):
        state, other = theirs.state_dict(), ours.state_dict()
        assert state.keys() == other.keys()
        assert all(np.array_equal(a.numpy(), other[name]) for name, a in state.items())
        difference = both(theirs, ours, X[:100])
        assert difference < 1e-5, difference
        print(f"{words}: {len(state)} tensors, bit for bit; codes and logits to {difference:.0e}")


if __name__ == "__main__":
    main()
