"""The conditional VAE (Sohn et al., NeurIPS 2015), forward and backward: a VAE of p(x|y).

The one-hot label is concatenated to x for the encoder and to z for the decoder, so z encodes only
what the label does not. The prior of z is N(0, 1) for every label. Compare `forward` and `backward`
with those of `vae.py`.
"""

from dataclasses import dataclass

from .. import ops
from . import losses, vae
from .labelled import Labelled, joined


def forward(p, xy, eps, ws, activation, likelihood):
    """xy (B,D+C), eps (B,Z)  ->  the losses of each example, and all intermediate results."""
    D = len(p.out_b)
    x, y = xy[:, :D], xy[:, D:]
    enc, mu, logvar = vae.encode(p, xy, ws, activation)
    z = ops.reparameterize(mu, logvar, eps, out=ws("z", *eps.shape))
    dec, logits = vae.decode(p, joined(z, y, ws), ws, activation)
    rec = losses.reconstruction(p, logits, x, ws, likelihood)
    kl = ops.gaussian_kl(mu, logvar, out=ws("kl", len(x)))
    return vae.Activations(x, enc, mu, logvar, eps, z, dec, logits, rec, kl)


def backward(p, g, acts, ws, beta, activation, likelihood):
    """Writes into g the gradient of the loss: the mean over the batch of rec + beta kl."""
    B, Z = acts.z.shape
    drec = dkl = ws.full("dlosses", 1 / B, B)
    dlogits = losses.reconstruction_backward(p, g, drec, acts.y, acts.x, ws, likelihood)
    dzy = vae.decode_backward(p, g, dlogits, acts.dec, ws, activation)
    dz = dzy[:, :Z]  # forward: zy = (z, y), and the label needs no gradient
    dhead = vae.latent_backward(dkl, dz, acts.mu, acts.logvar, acts.eps, ws, beta)
    vae.encode_backward(p, g, dhead, acts.enc, ws, activation)


@dataclass(eq=False, repr=False)
class ConditionalVAE(Labelled, vae.VAE):
    """Conditional VAE: fit(X, y), then sample(n, y=3), and all methods of VAE with y=."""

    kind = "cvae"

    def forward(self, xy, eps):
        return forward(self.params_, xy, eps, self._ws, self.activation, self.likelihood)

    def backward(self, g, acts, ramp=1.0, mean_kl=None):
        kl = self.beta, self.free_bits, self.capacity, ramp, mean_kl
        beta = losses.kl_charge_backward(acts, *kl)
        backward(self.params_, g, acts, self._ws, beta, self.activation, self.likelihood)
