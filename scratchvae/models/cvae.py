"""The conditional VAE (Sohn et al., NeurIPS 2015), forward and backward: a VAE of p(x|y).

The one-hot label is concatenated to x for the encoder and to z for the decoder, so z encodes only
what the label does not. The prior of z is N(0, 1) for every label. Compare `forward` and `backward`
with those of `vae.py`.
"""

from dataclasses import dataclass

from .. import ops
from .labelled import Labelled, joined
from .losses import (
    kl_charge_backward,
    log_prior_ratio,
    reconstruction,
    reconstruction_backward,
)
from .vae import VAE, Activations, decode, decode_backward, encode, encode_backward


def forward(p, xy, D, eps, ws, activation, likelihood):
    """xy (B,D+C), eps (B,Z)  ->  the losses of each example, and all intermediate results."""
    x, y = xy[:, :D], xy[:, D:]
    enc, mu, logvar = encode(p, xy, ws, activation)
    z = ops.reparameterize(mu, logvar, eps, out=ws("z", *eps.shape))
    zy = joined(z, y, ws("zy", len(z), z.shape[1] + y.shape[1]))
    dec, logits = decode(p, zy, ws, activation)
    rec = reconstruction(p, logits, x, ws, likelihood)
    kl = ops.gaussian_kl(mu, logvar, out=ws("kl", len(x)))
    return Activations(x, enc, mu, logvar, eps, z, dec, logits, rec, kl)


def backward(p, g, acts, ws, beta, activation, likelihood):
    """Writes into g the gradient of the loss: the mean over the batch of rec + beta kl."""
    B, Z = acts.z.shape
    drec = dkl = ws.full("dlosses", 1 / B, B)
    dhead = ws("dhead", B, 2 * Z)
    dmu, dlogvar = dhead[:, :Z], dhead[:, Z:]

    dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(
        dkl, acts.mu, acts.logvar, dmu=ws("dmu_kl", B, Z), dlogvar=ws("dlogvar_kl", B, Z)
    )
    dlogits = reconstruction_backward(p, g, drec, acts.y, acts.x, ws, likelihood)
    dzy = decode_backward(p, g, dlogits, acts.dec, ws, activation)
    # forward: zy = (z, y), and the label needs no gradient
    ops.reparameterize_backward(dzy[:, :Z], acts.logvar, acts.eps, dmu=dmu, dlogvar=dlogvar)
    dmu_kl *= beta
    dlogvar_kl *= beta
    dmu += dmu_kl
    dlogvar += dlogvar_kl
    encode_backward(p, g, dhead, acts.enc, ws, activation)


@dataclass(eq=False, repr=False)
class ConditionalVAE(Labelled, VAE):
    """Conditional VAE: fit(X, y), then sample(n, y=3), and all methods of VAE with y=."""

    kind = "cvae"

    def forward(self, xy, eps):
        rest = self._ws, self.activation, self.likelihood
        return forward(self.params_, xy, self.n_features_, eps, *rest)

    def backward(self, g, acts, ramp=1.0):
        beta = kl_charge_backward(acts, self.beta, self.free_bits, self.capacity, ramp)
        backward(self.params_, g, acts, self._ws, beta, self.activation, self.likelihood)

    def log_weight(self, xy, codes, eps):
        x, y = self._split(xy)
        mu, logvar = codes
        z = ops.reparameterize(mu, logvar, eps, out=self._ws("z", *eps.shape))
        logits = self.decoder(self._joined(z, y))
        rec = reconstruction(self.params_, logits, x, self._ws, self.likelihood)
        return log_prior_ratio(z, logvar, eps) - rec
