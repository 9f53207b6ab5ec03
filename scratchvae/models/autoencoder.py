"""The plain autoencoder: the VAE without noise and without a prior, to show what these two do.

The code is a point, not a distribution. Nothing constrains the decoder between the codes, so a
point there can decode to anything. Compare `forward` and `backward` with those of `vae.py`.
"""

from dataclasses import dataclass

from .. import ops
from ..backend import Array
from ..nets import mlp
from . import losses, vae
from .model import Model


@dataclass(slots=True)
class Activations:
    """What forward computes and backward reads, in the order of computation."""

    x: Array  # (B,D) the data
    enc: list[Array]  # x, then each hidden layer of the encoder (B,H)
    mu: Array  # (B,Z) the code: a point; in the VAE, the mean of a Gaussian
    dec: list[Array]  # mu, then each hidden layer of the decoder (B,H)
    y: Array  # (B,D) logits (Bernoulli) or means (Gaussian)
    rec: Array  # (B,) -log p(x|z), nats
    kl: Array  # (B,) zeros: there is no prior


def forward(p, x, ws, activation, likelihood):
    """x (B,D)  ->  the losses of each example, and all intermediate results."""
    enc, mu = encode(p, x, ws, activation)
    dec, y = vae.decode(p, mu, ws, activation)
    rec = losses.reconstruction(p, y, x, ws, likelihood)
    return Activations(x, enc, mu, dec, y, rec, ws.full("kl", 0, len(x)))


def backward(p, g, acts, ws, activation, likelihood):
    """Writes into g the gradient of the loss: the mean over the batch of rec."""
    B = len(acts.x)
    drec = ws.full("drec", 1 / B, B)
    dy = losses.reconstruction_backward(p, g, drec, acts.y, acts.x, ws, likelihood)
    dmu = vae.decode_backward(p, g, dy, acts.dec, ws, activation)
    vae.encode_backward(p, g, dmu, acts.enc, ws, activation)


def encode(p, x, ws, activation):
    """x (B,D)  ->  hidden layers, mu (B,Z)"""
    enc = mlp(p, "enc", x, activation, ws)
    return enc, ops.linear(enc[-1], p.head_W, p.head_b, out=ws("mu", len(x), p.head_W.shape[1]))


@dataclass(eq=False, repr=False)
class Autoencoder(Model):
    """Plain autoencoder: fit(X), then encode, decode, reconstruct, score_samples (-rec).

    `sample` decodes z from N(0, 1) as for a VAE, although training does not place codes there.
    """

    kind = "ae"
    heads = ("fc_code",)
    noisy = False
    loss_name = "reconstruction error"
    draws = "no sample: the code is a point"

    def encode(self, X):
        """The code z of each row of X (N,D): (N,Z)."""
        return super().encode(X)[0]

    def forward(self, x, eps):
        return forward(self.params_, x, self._ws, self.activation, self.likelihood)

    def backward(self, g, acts, ramp=1.0):
        backward(self.params_, g, acts, self._ws, self.activation, self.likelihood)

    def example_losses(self, acts):
        return acts.rec

    def encoder(self, x):
        return encode(self.params_, x, self._ws, self.activation)[1:]

    decoder = vae.VAE.decoder
