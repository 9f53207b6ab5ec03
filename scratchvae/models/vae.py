"""The variational autoencoder (Kingma & Welling, arXiv:1312.6114), forward and backward, by hand.

The encoder maps x to a Gaussian over z, a sample of which the decoder maps back to a distribution over x. Training
minimises the negative evidence lower bound, in nats: what x costs given z, plus what z costs given the prior.
`backward` is `forward` read from the bottom up; `ops.py` has the derivative of each line.
"""

from dataclasses import dataclass
from typing import Any

from .. import ops
from ..backend import Array
from ..memory import Flat, Shapes, Workspace
from ..nets import layer_shapes, mlp, mlp_backward
from ..registry import SKIP
from .base import Model


@dataclass(slots=True)
class Activations:
    """What forward computed and backward reads, in the order of computation."""

    x: Array  # (B,D) the data
    enc: list[Array]  # [x, then each hidden layer of the encoder (B,H)]
    mu: Array  # (B,Z) mean of q(z|x); mu and logvar are the two halves of one product
    logvar: Array  # (B,Z) log of the variance of q(z|x)
    eps: Array  # (B,Z) the noise, N(0, 1)
    z: Array  # (B,Z) the sample
    dec: list[Array]  # [z, then each hidden layer of the decoder (B,H)]
    y: Array  # (B,D) logits (Bernoulli) or means (Gaussian) of p(x|z)
    rec: Array  # (B,) -log p(x|z), nats
    kl: Array  # (B,) KL(q(z|x) || p(z)), nats


def shapes(n_features: int, latent_dim: int, hidden: tuple[int, ...], likelihood: str) -> Shapes:
    """Names and shapes (fan in, fan out) of all parameters."""
    D, Z = n_features, latent_dim
    enc, dec = (D, *hidden), (Z, *reversed(hidden))
    return {
        **layer_shapes("enc", enc),
        "head_W": (enc[-1], 2 * Z),
        "head_b": (2 * Z,),
        **layer_shapes("dec", dec),
        "out_W": (dec[-1], D),
        "out_b": (D,),
        **({"x_logvar": (1,)} if likelihood == "gaussian" else {}),
    }


def encode(p: Flat, x: Array, ws: Workspace, activation: str) -> tuple[list[Array], Array, Array]:
    """x (B,D)  ->  hidden layers, mu (B,Z), logvar (B,Z)"""
    enc = mlp(p, "enc", x, activation, ws)
    head = ops.linear(enc[-1], p.head_W, p.head_b, out=ws("head", len(x), p.head_W.shape[1]))
    Z = head.shape[1] // 2
    return enc, head[:, :Z], head[:, Z:]


def decode(p: Flat, z: Array, ws: Workspace, activation: str) -> tuple[list[Array], Array]:
    """z (B,Z)  ->  hidden layers, y (B,D)"""
    dec = mlp(p, "dec", z, activation, ws)
    return dec, ops.linear(dec[-1], p.out_W, p.out_b, out=ws("y", len(z), p.out_W.shape[1]))


def forward(
    p: Flat, x: Array, eps: Array, ws: Workspace, activation: str, likelihood: str
) -> Activations:
    """x (B,D), eps (B,Z)  ->  the losses of each example, and everything on the way to them."""
    B = len(x)
    enc, mu, logvar = encode(p, x, ws, activation)
    z = ops.reparameterize(mu, logvar, eps, out=ws("z", *eps.shape))
    dec, y = decode(p, z, ws, activation)
    if likelihood == "bernoulli":
        rec = ops.bce_with_logits(y, x, out=ws("rec", B))
    else:
        rec = ops.gaussian_nll(y, p.x_logvar, x, out=ws("rec", B))
    kl = ops.gaussian_kl(mu, logvar, out=ws("kl", B))
    return Activations(x, enc, mu, logvar, eps, z, dec, y, rec, kl)


def backward(
    p: Flat, g: Flat, acts: Activations, ws: Workspace, beta: float, activation: str, likelihood: str
) -> None:
    """Writes into g the gradient of the loss, mean over the batch of rec + beta kl."""
    B, Z = acts.z.shape
    drec = ws.full("drec", 1 / B, B)
    dkl = ws.full("dkl", beta / B, B)
    dy = ws("dy", *acts.y.shape)
    dz = ws("dz", B, Z)
    dhead = ws("dhead", B, 2 * Z)
    dmu, dlogvar = dhead[:, :Z], dhead[:, Z:]

    # forward: rec = -log p(x|y)
    if likelihood == "bernoulli":
        ops.bce_with_logits_backward(drec, acts.y, acts.x, dlogits=dy)
    else:
        ops.gaussian_nll_backward(drec, acts.y, p.x_logvar, acts.x, dmu=dy, dlogvar=g.x_logvar)

    # forward: y = dec[-1] W + b,  dec = mlp(z)
    dh = ws("ddec", *acts.dec[-1].shape)
    ops.linear_backward(dy, acts.dec[-1], p.out_W, dx=dh, dW=g.out_W, db=g.out_b)
    dz = mlp_backward(p, g, "dec", acts.dec, dh, activation, ws, dx=dz)

    # forward: mu and logvar go two ways, into z and into kl, so their gradients add
    ops.reparameterize_backward(dz, acts.logvar, acts.eps, dmu=dmu, dlogvar=dlogvar)
    dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(
        dkl, acts.mu, acts.logvar, dmu=ws("dmu_kl", B, Z), dlogvar=ws("dlogvar_kl", B, Z)
    )
    dmu += dmu_kl
    dlogvar += dlogvar_kl

    # forward: (mu, logvar) = enc[-1] W + b,  enc = mlp(x), and x needs no gradient
    dh = ws("denc", *acts.enc[-1].shape) if len(acts.enc) > 1 else SKIP
    dh, _, _ = ops.linear_backward(dhead, acts.enc[-1], p.head_W, dx=dh, dW=g.head_W, db=g.head_b)
    mlp_backward(p, g, "enc", acts.enc, dh, activation, ws)
