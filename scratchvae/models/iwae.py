"""The importance-weighted autoencoder (Burda et al., arXiv:1509.00519), forward and backward.

The VAE's encoder and decoder, with K samples of z for each x, and a tighter bound:

    L_K = log (1/K) sum_k w_k,    w_k = p(x, z_k) / q(z_k|x),    z_k = mu + exp(logvar/2) eps_k

L_1 is the evidence lower bound, with its KL estimated from the sample, and L_K <= L_{K+1} <=
log p(x). The samples of example b are rows b K to b K + K - 1 of the decoder's input.
"""

from dataclasses import dataclass

from .. import ops
from ..backend import Array
from ..backend import array_module as module
from ..errors import InputError, whole_number
from . import losses, vae
from .model import Model

OBJECTIVES = ("iwae", "vae")


@dataclass(slots=True)
class Activations:
    """What forward computes and backward reads, in the order of computation."""

    x: Array  # (BK,D) the data, each row K times
    enc: list[Array]  # x (B,D), then each hidden layer of the encoder (B,H)
    mu: Array  # (B,Z) mean of q(z|x)
    logvar: Array  # (B,Z) log of its variance
    logvars: Array  # (BK,Z) the same, each row K times
    eps: Array  # (BK,Z) the noise, N(0, 1)
    z: Array  # (BK,Z) the samples
    dec: list[Array]  # z, then each hidden layer of the decoder (BK,H)
    y: Array  # (BK,D) logits (Bernoulli) or means (Gaussian) of p(x|z)
    log_w: Array  # (B,K) log w_k, nats
    rec: Array  # (B,) -log p(x|z), nats, the mean over the samples
    kl: Array  # (B,) KL(q(z|x) || p(z)) in closed form, nats: reported, not part of the loss
    loss: Array  # (B,) -L_K, nats


def forward(p, x, eps, ws, activation, likelihood, objective):
    """x (B,D), eps (B,KZ)  ->  the losses of each example, and all intermediate results."""
    enc, mu, logvar = vae.encode(p, x, ws, activation)
    B, Z = mu.shape
    K = eps.shape[1] // Z
    eps = eps.reshape(B * K, Z)
    mus, logvars = repeated(mu, K, "mus", ws), repeated(logvar, K, "logvars", ws)
    xs = repeated(x, K, "xs", ws)
    z = ops.reparameterize(mus, logvars, eps, out=ws("z", B * K, Z))
    dec, y = vae.decode(p, z, ws, activation)
    rec = losses.reconstruction(p, y, xs, ws, likelihood)
    log_w = losses.log_prior_ratio(z, logvars, eps, out=ws("log_w", B * K))
    log_w -= rec
    log_w, rec = log_w.reshape(B, K), rec.reshape(B, K).mean(axis=1)
    loss = -losses.log_mean_exp(log_w) if objective == "iwae" else -log_w.mean(axis=1)
    kl = ops.gaussian_kl(mu, logvar, out=ws("kl", B))
    return Activations(xs, enc, mu, logvar, logvars, eps, z, dec, y, log_w, rec, kl, loss)


def repeated(a, K, name, ws):
    """Each row K times, in the named buffer: a (B,D)  ->  (BK,D)"""
    B, D = a.shape
    out = ws(name, B, K, D)
    out[...] = a[:, None]
    return out.reshape(B * K, D)


def backward(p, g, acts, ws, activation, likelihood, objective, dreg):
    """Writes into g the gradient of the mean loss over the batch; with dreg, an estimate of it."""
    (B, K), Z = acts.log_w.shape, acts.z.shape[1]
    dloss = ws.full("dloss", 1 / B, B)
    # forward: loss = -log_mean_exp(log_w),  log_w = log_prior_ratio - rec,  z = mu + std eps
    if objective == "iwae":
        share = losses.log_mean_exp_backward(dloss, acts.log_w)
    else:
        share = ws.full("share", 1 / (B * K), B, K)
    share = share.reshape(B * K)
    dy = losses.reconstruction_backward(p, g, share, acts.y, acts.x, ws, likelihood)
    dz = vae.decode_backward(p, g, dy, acts.dec, ws, activation)
    dz_ratio, dlogvar_ratio = losses.log_prior_ratio_backward(
        -share, acts.z, dz=ws("dz_ratio", B * K, Z), dlogvar=ws("dlogvar_ratio", B * K, Z)
    )
    dz += dz_ratio
    if dreg:
        # in log w, only z depends on the encoder: mu and logvar inside log q are held constant,
        # which leaves d(-log q)/dz = eps/std, and the normalised weight enters squared (section 3
        # of Tucker et al., arXiv:1810.04152)
        dz -= share[:, None] * acts.eps * module(dz).exp(acts.logvars * -0.5)
        dz *= B * share[:, None]
        dlogvar_ratio.fill(0)
    dmus, dlogvars = ops.reparameterize_backward(
        dz, acts.logvars, acts.eps, dmu=dz_ratio, dlogvar=ws("dlogvars", B * K, Z)
    )
    dlogvars += dlogvar_ratio
    # mu and logvar are used in each of the K samples, so their gradients add
    dhead = ws("dhead", B, 2, Z)
    dmus.reshape(B, K, Z).sum(axis=1, out=dhead[:, 0])
    dlogvars.reshape(B, K, Z).sum(axis=1, out=dhead[:, 1])
    vae.encode_backward(p, g, dhead.reshape(B, 2 * Z), acts.enc, ws, activation)


@dataclass(eq=False, repr=False)
class IWAE(Model):
    """Importance-weighted autoencoder: a VAE trained on the bound of k samples.

    k           samples of z for each example
    objective   "iwae": the bound L_k; "vae": the mean of k single-sample bounds
    dreg        use the doubly reparameterized gradient of the encoder, with lower variance
    """

    k: int = 5
    objective: str = "iwae"
    dreg: bool = False

    kind = "iwae"
    loss_name = "negative bound of k samples"

    @property
    def draws(self):
        return f"{self.k} samples of z"

    def check_config(self):
        whole_number(self.k, "k")
        if self.objective not in OBJECTIVES:
            choices = ", ".join(OBJECTIVES)
            raise InputError(f"objective must be one of {choices}, got {self.objective!r}")
        if self.dreg and self.objective != "iwae":
            raise InputError("dreg estimates the gradient of objective='iwae' only")
        super().check_config()

    @property
    def noise_width(self):
        return self.k * self.latent_dim

    def forward(self, x, eps):
        rest = self._ws, self.activation, self.likelihood, self.objective
        return forward(self.params_, x, eps, *rest)

    def backward(self, g, acts, ramp=1.0):
        rest = self._ws, self.activation, self.likelihood, self.objective, self.dreg
        backward(self.params_, g, acts, *rest)

    def example_losses(self, acts):
        return acts.loss

    encoder, decoder = vae.VAE.encoder, vae.VAE.decoder
