"""The variational autoencoder (Kingma & Welling, arXiv:1312.6114), forward and backward, by hand.

The encoder maps x to a Gaussian over z; the decoder maps a sample of z to a distribution over x.
Training minimises the mean over the batch of rec + beta kl, in nats; for beta = 1 this is the
negative evidence lower bound. For Bernoulli pixels with logits y (`losses.py` has the others):

    rec = -log p(x|z)        = sum_d [log(1 + exp(y_d)) - x_d y_d]
    kl  = KL(q(z|x) || p(z)) = sum_j [mu_j^2 + exp(logvar_j) - 1 - logvar_j] / 2

Each backward reads its forward from the last line to the first; `ops.py` has the derivative of
each op. p holds the parameters, g their gradients, ws the workspace buffers.
"""

from dataclasses import dataclass

from .. import ops
from ..backend import Array
from ..backend.registry import SKIP
from ..nets import mlp, mlp_backward
from .losses import (
    check_kl_charge,
    kl_charge,
    kl_charge_backward,
    reconstruction,
    reconstruction_backward,
    unit_kl,
)
from .model import Model


@dataclass(slots=True)
class Activations:
    """What forward computes and backward reads, in the order of computation."""

    x: Array  # (B,D) the data
    enc: list[Array]  # x, then each hidden layer of the encoder (B,H)
    mu: Array  # (B,Z) mean of q(z|x); mu and logvar are the halves of one layer's output
    logvar: Array  # (B,Z) log of the variance of q(z|x)
    eps: Array  # (B,Z) the noise, N(0, 1)
    z: Array  # (B,Z) the sample
    dec: list[Array]  # z, then each hidden layer of the decoder (B,H)
    y: Array  # (B,D) logits (Bernoulli) or means (Gaussian) of p(x|z)
    rec: Array  # (B,) -log p(x|z), nats
    kl: Array  # (B,) KL(q(z|x) || p(z)), nats


def forward(p, x, eps, ws, activation, likelihood):
    """x (B,D), eps (B,Z)  ->  the losses of each example, and all intermediate results."""
    enc, mu, logvar = encode(p, x, ws, activation)
    z = ops.reparameterize(mu, logvar, eps, out=ws("z", *eps.shape))
    dec, y = decode(p, z, ws, activation)
    rec = reconstruction(p, y, x, ws, likelihood)
    kl = ops.gaussian_kl(mu, logvar, out=ws("kl", len(x)))
    return Activations(x, enc, mu, logvar, eps, z, dec, y, rec, kl)


def backward(p, g, acts, ws, beta, activation, likelihood):
    """Writes into g the gradient of the loss, the mean over the batch of rec + beta kl.

    beta is a scalar, or (Z,), one value per latent unit.
    """
    B = len(acts.x)
    drec = dkl = ws.full("dlosses", 1 / B, B)
    dy = reconstruction_backward(p, g, drec, acts.y, acts.x, ws, likelihood)
    dz = decode_backward(p, g, dy, acts.dec, ws, activation)
    dhead = latent_backward(dkl, dz, acts.mu, acts.logvar, acts.eps, ws, beta)
    encode_backward(p, g, dhead, acts.enc, ws, activation)


def latent_backward(dkl, dz, mu, logvar, eps, ws, beta):
    """dkl (B,), dz (B,Z)  ->  dhead (B,2Z): the gradients of mu and logvar, side by side."""
    # forward: z = reparameterize(mu, logvar, eps),  kl = gaussian_kl(mu, logvar)
    B, Z = mu.shape
    dhead = ws("dhead", B, 2 * Z)
    dmu, dlogvar = dhead[:, :Z], dhead[:, Z:]
    dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(
        dkl, mu, logvar, dmu=ws("dmu_kl", B, Z), dlogvar=ws("dlogvar_kl", B, Z)
    )
    ops.reparameterize_backward(dz, logvar, eps, dmu=dmu, dlogvar=dlogvar)
    dmu_kl *= beta
    dlogvar_kl *= beta
    # kl and z both use mu and logvar, so their gradients add
    dmu += dmu_kl
    dlogvar += dlogvar_kl
    return dhead


def encode(p, x, ws, activation):
    """x (B,D)  ->  hidden layers, mu (B,Z), logvar (B,Z)"""
    enc = mlp(p, "enc", x, activation, ws)
    head = ops.linear(enc[-1], p.head_W, p.head_b, out=ws("head", len(x), p.head_W.shape[1]))
    Z = head.shape[1] // 2
    return enc, head[:, :Z], head[:, Z:]


def encode_backward(p, g, dhead, enc, ws, activation):
    """dhead (B,2Z): the gradients of mu and logvar. x needs no gradient."""
    # forward: enc = mlp(x),  (mu, logvar) = enc[-1] W + b
    dh = ws("denc", *enc[-1].shape) if len(enc) > 1 else SKIP
    dh, _, _ = ops.linear_backward(dhead, enc[-1], p.head_W, dx=dh, dW=g.head_W, db=g.head_b)
    mlp_backward(p, g, "enc", enc, dh, activation, ws)


def decode(p, z, ws, activation):
    """z (B,Z)  ->  hidden layers, y (B,D)"""
    dec = mlp(p, "dec", z, activation, ws)
    return dec, ops.linear(dec[-1], p.out_W, p.out_b, out=ws("y", len(z), p.out_W.shape[1]))


def decode_backward(p, g, dy, dec, ws, activation):
    """dy (B,D)  ->  dz (B,Z)"""
    # forward: dec = mlp(z),  y = dec[-1] W + b
    dz = ws("dz", *dec[0].shape)
    dh = ws("ddec", *dec[-1].shape) if len(dec) > 1 else dz
    dh, _, _ = ops.linear_backward(dy, dec[-1], p.out_W, dx=dh, dW=g.out_W, db=g.out_b)
    return mlp_backward(p, g, "dec", dec, dh, activation, ws, dx=dz)


@dataclass(eq=False, repr=False)
class VAE(Model):
    """Variational autoencoder: fit(X), then encode, decode, reconstruct, sample, score_samples.

    beta, free_bits, capacity    the KL term of the loss, see `losses.py`
    """

    beta: float = 1.0
    free_bits: float = 0.0
    capacity: float | None = None

    kind = "vae"
    scheduled = True

    def check_config(self):
        check_kl_charge(self.beta, self.free_bits, self.capacity)
        super().check_config()

    def forward(self, x, eps):
        return forward(self.params_, x, eps, self._ws, self.activation, self.likelihood)

    def backward(self, g, acts, ramp=1.0, mean_kl=None):
        # beta * ramp, unless there are free bits or a capacity
        beta = kl_charge_backward(acts, self.beta, self.free_bits, self.capacity, ramp, mean_kl)
        backward(self.params_, g, acts, self._ws, beta, self.activation, self.likelihood)

    def example_losses(self, acts):
        return acts.rec + self.beta * acts.kl

    def mean_loss(self, acts):
        # mean(rec) + beta mean(kl), unless there are free bits or a capacity
        return acts.rec.mean() + kl_charge(acts, self.beta, self.free_bits, self.capacity)

    def mean_kl(self, acts):
        return unit_kl(acts.mu, acts.logvar)

    def encoder(self, x):
        return encode(self.params_, x, self._ws, self.activation)[1:]

    def decoder(self, z):
        return decode(self.params_, z, self._ws, self.activation)[1]
