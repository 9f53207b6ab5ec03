"""Exercise 5: the gradient of a whole variational autoencoder.

    scratchvae verify examples/exercises/vae.py

The four exercises before are its parts; `scratchvae.ops` has them all, with their backwards, if you
would rather put them together than write them again.
"""

from scratchvae import ops
from scratchvae.gradcheck import inputs


@inputs(
    "W1", "b1", "Wm", "bm", "Wv", "bv", "W2", "b2", "W3", "b3",
    x="BD in [0,1]", eps="BZ",
    W1="DH", b1="H", Wm="HZ", bm="Z", Wv="HZ", bv="Z", W2="ZK", b2="K", W3="KD", b3="D",
)  # fmt: skip
def vae(x, eps, W1, b1, Wm, bm, Wv, bv, W2, b2, W3, b3):
    """The negative ELBO of each example, nats.        x (B,D), eps (B,Z)   ->   y (B,)"""
    h = ops.tanh(ops.linear(x, W1, b1))
    mu, logvar = ops.linear(h, Wm, bm), ops.linear(h, Wv, bv)
    z = ops.reparameterize(mu, logvar, eps)
    k = ops.tanh(ops.linear(z, W2, b2))
    logits = ops.linear(k, W3, b3)
    return ops.bce_with_logits(logits, x) + ops.gaussian_kl(mu, logvar)


def vae_backward(dy, x, eps, W1, b1, Wm, bm, Wv, bv, W2, b2, W3, b3):
    """dy (B,)   ->   {"W1": dW1, "b1": db1, ...}: the gradients of the ten parameters

    Compute h to logits again, then read the forward from the bottom up. Where a value went two ways
    (mu, logvar, h), two gradients come back, and they add.
    """
    raise NotImplementedError('return {"W1": dW1, "b1": db1, "Wm": dWm, ...}')


def hints_vae(wrong):
    """Where to look, by which gradients are wrong: those that are right lie below the mistake."""
    if len(wrong) == 1:
        (name,) = wrong
        return (
            f"only d{name} is wrong: what reaches that layer is right, so look at this line alone"
        )
    if wrong & {"W3", "b3"}:
        return "begin at the end: dlogits is (sigmoid(logits) - x) dy, and W3 and b3 see only that"
    if wrong & {"W2", "b2"}:
        return "dlogits is right; look at dk, and at the derivative of the decoder's tanh"
    if wrong & {"Wm", "bm"} and wrong & {"Wv", "bv"}:
        return "the decoder is right; look at dz, and at the KL, which mu and logvar go into too"
    if wrong & {"Wm", "bm"}:
        return "dlogvar is right, dmu is not: mu goes into z, and into the KL"
    if wrong & {"Wv", "bv"}:
        return "dmu is right, dlogvar is not: z has a half and an eps there, and the KL a part"
    return "dmu and dlogvar are right; h goes into both, and then there is the encoder's tanh"
