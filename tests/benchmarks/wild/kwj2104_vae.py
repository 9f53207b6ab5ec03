"""A VAE on NumPy by kwj2104: all ten parameters."""

import sys

import numpy as np
from benchmarks.wild import Pair, draw, on_path, seeded

SOURCE = "kwj2104+Simple-Variational-Autoencoder"
NOTE = "`backward` takes Adam's step at once: its first moments, with beta 0, are the gradients"

NAMES = "e_W0 e_b0 e_W_mu e_b_mu e_W_logvar e_b_logvar d_W0 d_b0 d_W1 d_b1".split()


def pairs(root):
    on_path(root)
    sys.argv[1:] = ["--nz", "2", "--layersize", "5", "--bsize", "3"]
    import utils_vae
    import vae

    x = draw(3, 28, 28, 1, low=0.0, high=1.0)
    made = vae.VAE([1])
    made.b1 = made.learning_rate = 0

    def elbo(**params):
        made.__dict__.update({n: w.copy() for n, w in params.items()})
        made.m, made.v = [0] * 10, [0] * 10
        seeded()
        out, mu, logvar = made.forward(x)
        kl = -0.5 * np.sum(1 + logvar - np.power(mu, 2) - np.exp(logvar))
        loss = utils_vae.BCE_loss(out, x) + kl

        def back(dy):
            made.backward(x, out)
            return {n: dy * m.sum(axis=0) for n, m in zip(NAMES, made.m, strict=True)}

        return loss, back

    inputs = {n: draw(*getattr(made, n).shape, seed=1) * 0.3 for n in NAMES}
    noise = {n: inputs[n] for n in inputs if "logvar" in n or n[:4] in ("e_W0", "e_b0")}

    def some(names, name, cause, says):
        def run(**inputs):
            loss, back = elbo(**{**rest, **inputs})
            return loss, lambda dy: {n: g for n, g in back(dy).items() if n in names}

        rest = {n: w for n, w in inputs.items() if n not in names}
        return Pair(name, run, {n: inputs[n] for n in names}, cause=cause, says=says)

    drawn = "the forward draws noise twice, and backward uses the draw that the sample did not"
    yield some(noise, "the encoder's first layer and log-variance", drawn, "noise|mask|draw")
    rest = [n for n in inputs if n not in noise]
    epsilon = "an epsilon of 1e-7 in the loss alone"
    yield some(rest, "the mean and the decoder", epsilon, "epsilon")
