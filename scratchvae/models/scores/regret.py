"""Likelihood regret (Xiao et al., arXiv:2003.02977), with a gradient derived by hand.

The encoder's q(z|x) is good for rows like the training data. For each row, Adam refines its mean
and log variance while the decoder is fixed. The regret is how much the negative ELBO falls:
cost(encoder's q) - min over q of cost(q), which is >= 0.

    cost(mu, logvar) = (1/K) sum_k -log p(x|z_k) + KL(N(mu, exp(logvar)) || N(0, 1)),
    z_k = mu + exp(logvar/2) eps_k

The noise eps is fixed, so the cost is a function of mu and logvar, and rows are independent. Both
costs are measured with the same noise, and q is fitted to it: the regret is too large, especially
with few samples.
"""

from dataclasses import dataclass
from typing import Any

from ... import ops
from ...backend import Array, array_module
from ...backend.registry import SKIP
from ...nets import mlp, mlp_backward
from ...train.optim import Adam
from .. import bounds
from ..losses import reconstruction, reconstruction_backward

SAMPLES = 4  # of z, in pairs eps and -eps
STEPS = 30
MOST = 200  # samples: their memory is in use at the same time
RATES = 0.2, 0.01  # the first step size and the last; it falls by the same factor each time


def has_regret(model: Any) -> bool:
    """Whether the model has a q(z|x) to refine, and `forward` computes what its decoder does."""
    return model.noisy and type(model).decoder.__module__ == bounds.DECODER


@dataclass(slots=True)
class Activations:
    """What forward computes and backward reads; rows j B to j B + B - 1 are sample j of each x."""

    x: Array  # (KB,D) the data, repeated
    mu: Array  # (B,Z) mean of q
    logvar: Array  # (B,Z) log of its variance
    logvars: Array  # (KB,Z) the same, repeated
    eps: Array  # (KB,Z) the noise, N(0, 1)
    dec: list[Array]  # z beside the label, if there is one, then each hidden layer of the decoder
    y: Array  # (KB,D) logits (Bernoulli) or means (Gaussian) of p(x|z)
    cost: Array  # (B,) the negative ELBO of q, nats


def forward(model: Any, x: Array, labels: Array, mu: Array, logvar: Array, eps: Array) -> Any:
    """x (KB,D), labels (KB,C), mu and logvar (B,Z), eps (KB,Z)  ->  cost (B,), and all results."""
    p, ws, (KB, Z) = model.params_, model.workspace, eps.shape
    B, xp = len(mu), array_module(mu)
    K = KB // B
    mus, logvars = xp.concatenate([mu] * K), xp.concatenate([logvar] * K)
    zy = ws("zy", KB, Z + labels.shape[1])
    zy[:, :Z], zy[:, Z:] = ops.reparameterize(mus, logvars, eps), labels
    dec = mlp(p, "dec", zy, model.activation, ws)
    y = ops.linear(dec[-1], p.out_W, p.out_b, out=ws("y", KB, x.shape[1]))
    rec = reconstruction(p, y, x, ws, model.likelihood)
    cost = rec.reshape(K, B).mean(axis=0) + ops.gaussian_kl(mu, logvar)
    return Activations(x, mu, logvar, logvars, eps, dec, y, cost)


def backward(model: Any, dcost: Array, acts: Activations) -> tuple[Array, Array]:
    """dcost (B,)  ->  dmu, dlogvar (B,Z). The decoder's parameters get no gradient."""
    p, ws, (B, Z) = model.params_, model.workspace, acts.mu.shape
    K = len(acts.eps) // B
    g = dict.fromkeys(p, SKIP)
    # forward: cost = mean_k rec + kl,  y = dec[-1] W + b,  dec = mlp(z),  z = mu + std eps
    drec = array_module(dcost).concatenate([dcost / K] * K)
    dy = reconstruction_backward(p, g, drec, acts.y, acts.x, ws, model.likelihood)
    dz = ws("dzy", *acts.dec[0].shape)
    dh = ws("ddec", *acts.dec[-1].shape) if len(acts.dec) > 1 else dz
    dh, _, _ = ops.linear_backward(dy, acts.dec[-1], p.out_W, dx=dh, dW=SKIP, db=SKIP)
    dz = mlp_backward(p, g, "dec", acts.dec, dh, model.activation, ws, dx=dz)[:, :Z]
    dmus, dlogvars = ops.reparameterize_backward(dz, acts.logvars, acts.eps)
    dmu, dlogvar = ops.gaussian_kl_backward(dcost, acts.mu, acts.logvar)
    # mu and logvar are used in the KL and in each of the K samples, so their gradients add
    dmu += dmus.reshape(K, B, Z).sum(axis=0)
    dlogvar += dlogvars.reshape(K, B, Z).sum(axis=0)
    return dmu, dlogvar


def refine(
    model: Any, x: Array, labels: Array, mu: Array, logvar: Array, eps: Array, steps: int = STEPS
) -> tuple[Array, Array]:
    """The cost of the given q, and the lowest cost of it and of each later step: both (B,)."""
    (B, Z), xp = mu.shape, array_module(mu)
    q, g = xp.concatenate((mu, logvar), axis=1), model.workspace("dq", B, 2 * Z)
    adam, (first, last) = Adam(q.reshape(-1), beta2=0.9), RATES
    ones = model.workspace.full("ones", 1, B)
    acts = forward(model, x, labels, mu, logvar, eps)
    start = least = acts.cost
    for i in range(steps):
        g[:, :Z], g[:, Z:] = backward(model, ones, acts)
        adam.lr = first * (last / first) ** (i / max(1, steps - 1))
        adam.step(q.reshape(-1), g.reshape(-1))
        acts = forward(model, x, labels, q[:, :Z], q[:, Z:], eps)
        least = xp.where(acts.cost < least, acts.cost, least)
    return start, least


def of_rows(model: Any, x: Array, k: int | None, **key: Any) -> Array:
    """The regret of each row of x (B,D), (B,), nats, by k samples of z (default SAMPLES)."""
    n, Z, k, xp = len(x), model.latent_dim, k or SAMPLES, array_module(x)
    row = bounds.row_keys(model, x)
    half = [model.draw_noise(n, Z, step=j, row=row, **key) for j in range(k - k // 2)]
    eps = xp.concatenate([*half, *(-e for e in half)])[: k * n]
    start, least = refine(model, *start_of(model, x, k), eps)
    return start - least


def start_of(model: Any, x: Array, k: int) -> tuple[Array, Array, Array, Array]:
    """What `forward` takes before eps: x and its labels k times, mu and logvar of q(z|x)."""
    xp, Z = array_module(x), model.latent_dim
    mu, logvar = (a.copy() for a in model.encoder(x))
    labels = model._decoder_input(mu, x)[:, Z:]
    x = x[:, : model.n_features_]
    return xp.concatenate([x] * k), xp.concatenate([labels] * k), mu, logvar
