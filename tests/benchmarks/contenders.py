"""One training step of the blog post's VAE (784-400-32, Bernoulli, Adam 1e-3), by several hands.

Each function below takes a batch size and returns a function of no arguments that takes one step,
on grey pixels that lie in memory as bytes. It may have an attribute `note`, for who reads the
figures. `worker.py` times one of them in a process of its own.
"""

import time
from functools import partial

import numpy as np

D, H, Z, LR = 784, 400, 32, 1e-3
BATCHES = 16  # that the data hold: more than a cache


def pixels(batch):
    return np.random.default_rng(0).integers(0, 256, (BATCHES * batch, D), dtype=np.uint8)


def rows(batch):
    """Row numbers of one batch after another, shuffled, without end."""
    order = np.random.default_rng(1).permutation(BATCHES * batch).reshape(BATCHES, batch)
    step = 0
    while True:
        yield order[step % BATCHES]
        step += 1


def scratchvae(batch, trained=None):
    """This project: the step of its own training loop."""
    import scratchvae
    from scratchvae import VAE
    from scratchvae.train import Trainer

    model, X, batches = VAE(latent_dim=Z, hidden=(H,)).build(D), pixels(batch), rows(batch)
    trainer = (trained or Trainer)(model, X, batch_size=batch)
    step = lambda: trainer.take_step(next(batches))  # noqa: E731
    step.note = scratchvae.__path__[0]
    return step


def rank(batch):
    """This project, in a rank of MPI: it is given the rows of the whole batch, as all ranks are."""
    from mpi4py import MPI

    from scratchvae.train import parallel  # of this checkout, or of another

    return scratchvae(batch, partial(parallel.ParallelTrainer, parallel.Ranks(MPI.COMM_WORLD)))


def torch_vae(device="cpu"):
    import torch
    from torch import nn
    from torch.nn import functional as F

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc, self.mu, self.logvar = nn.Linear(D, H), nn.Linear(H, Z), nn.Linear(H, Z)
            self.dec, self.out = nn.Linear(Z, H), nn.Linear(H, D)

        def forward(self, x):
            h = F.relu(self.enc(x))
            mu, logvar = self.mu(h), self.logvar(h)
            z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
            logits = self.out(F.relu(self.dec(z)))
            rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            return (rec - 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum()) / len(x)

    torch.manual_seed(0)
    return VAE().to(device)


def _torch(batch, compiled=False, **adam):
    import torch

    model = torch_vae()
    loss_of = torch.compile(model) if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), lr=LR, **adam)
    X, total, batches = torch.from_numpy(pixels(batch)), torch.zeros(()), rows(batch)

    def step():
        x = X[torch.from_numpy(next(batches))].float().div_(255)
        loss = loss_of(x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total.add_(loss.detach())

    threads = torch.get_num_threads()
    step.note = _faster(step, torch.set_num_threads, sorted({1, threads}))
    return step


def _faster(step, set_threads, numbers):
    """Leave the number of threads at which a step takes less time; returns it."""
    seconds = dict.fromkeys(numbers, np.inf)
    for _ in range(4):
        for n in numbers:
            set_threads(n)
            step()  # compiled code is made anew for another number of threads
            step()
            start = time.perf_counter()
            for _ in range(5):
                step()
            seconds[n] = min(seconds[n], time.perf_counter() - start)
    best = min(seconds, key=seconds.get)
    set_threads(best)
    return best


def torch_eager(batch):
    """PyTorch, eager, its default Adam."""
    return _torch(batch)


def torch_fused(batch):
    """PyTorch, eager, Adam(fused=True)."""
    return _torch(batch, fused=True)


def torch_compiled(batch):
    """PyTorch, torch.compile, Adam(fused=True)."""
    return _torch(batch, compiled=True, fused=True)


def jax_step():
    """The whole step under jit, all that it changes donated; and what it starts from."""
    import jax
    from jax import numpy as jnp

    def init(key, fan_in, fan_out):
        return jax.random.uniform(key, (fan_in, fan_out), minval=-1, maxval=1) * fan_in**-0.5

    sizes = {"enc": (D, H), "head": (H, 2 * Z), "dec": (Z, H), "out": (H, D)}
    keys = jax.random.split(jax.random.key(0), len(sizes))
    p = {f"{n}_W": init(k, *s) for k, (n, s) in zip(keys, sizes.items(), strict=True)}
    p |= {f"{n}_b": jnp.zeros(s[1]) for n, s in sizes.items()}

    def loss_of(p, x, key):
        h = jax.nn.relu(x @ p["enc_W"] + p["enc_b"])
        mu, logvar = jnp.split(h @ p["head_W"] + p["head_b"], 2, axis=1)
        z = mu + jax.random.normal(key, mu.shape) * jnp.exp(0.5 * logvar)
        logits = jax.nn.relu(z @ p["dec_W"] + p["dec_b"]) @ p["out_W"] + p["out_b"]
        rec = (jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))).sum()
        return (rec - 0.5 * (1 + logvar - mu**2 - jnp.exp(logvar)).sum()) / len(x)

    def update(p, m, v, t, total, pixels):
        x = pixels.astype(jnp.float32) / 255
        loss, g = jax.value_and_grad(loss_of)(p, x, jax.random.fold_in(jax.random.key(1), t))
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - LR * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), p, m, v)
        return p, m, v, t, total + loss

    zeros = lambda: jax.tree.map(jnp.zeros_like, p)  # noqa: E731
    state = (p, zeros(), zeros(), jnp.zeros((), jnp.int32), jnp.zeros(()))
    return jax.jit(update, donate_argnums=(0, 1, 2, 3, 4)), state


def jax_jit(batch):
    """JAX: the whole step under jit, parameters and moments donated."""
    jitted, start = jax_step()
    state, X, batches = [start], pixels(batch), rows(batch)

    def step():
        state[0] = jitted(*state[0], X[next(batches)])
        state[0][-1].block_until_ready()

    return step


def naive_numpy(batch):
    """The NumPy step that a tutorial would write: a new array for each expression."""
    rng = np.random.default_rng(0)
    sizes = {"enc": (D, H), "mu": (H, Z), "logvar": (H, Z), "dec": (Z, H), "out": (H, D)}
    p = {f"{n}_W": rng.normal(0, 0.01, s).astype(np.float32) for n, s in sizes.items()}
    p |= {f"{n}_b": np.zeros(s[1], dtype=np.float32) for n, s in sizes.items()}
    m, v = ({n: np.zeros_like(a) for n, a in p.items()} for _ in range(2))
    X, batches, t = pixels(batch), rows(batch), 0

    def step():
        nonlocal t
        x = X[next(batches)].astype(np.float32) / 255
        h = np.maximum(0, x @ p["enc_W"] + p["enc_b"])
        mu, logvar = h @ p["mu_W"] + p["mu_b"], h @ p["logvar_W"] + p["logvar_b"]
        eps = rng.standard_normal(mu.shape).astype(np.float32)
        z = mu + np.exp(0.5 * logvar) * eps
        k = np.maximum(0, z @ p["dec_W"] + p["dec_b"])
        y = 1 / (1 + np.exp(-(k @ p["out_W"] + p["out_b"])))
        rec = -np.sum(x * np.log(y + 1e-8) + (1 - x) * np.log(1 - y + 1e-8))
        loss = (rec - 0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar))) / len(x)

        dy = (y - x) / len(x)
        dk = (dy @ p["out_W"].T) * (k > 0)
        dz = dk @ p["dec_W"].T
        dmu = dz + mu / len(x)
        dlogvar = dz * eps * 0.5 * np.exp(0.5 * logvar) + 0.5 * (np.exp(logvar) - 1) / len(x)
        dh = (dmu @ p["mu_W"].T + dlogvar @ p["logvar_W"].T) * (h > 0)
        inputs = {"enc": (x, dh), "mu": (h, dmu), "logvar": (h, dlogvar), "dec": (z, dk)}
        t += 1
        for n, (a, da) in (inputs | {"out": (k, dy)}).items():
            for kind, g in (("W", a.T @ da), ("b", da.sum(axis=0))):
                q = f"{n}_{kind}"
                m[q] = 0.9 * m[q] + 0.1 * g
                v[q] = 0.999 * v[q] + 0.001 * g**2
                m_hat, v_hat = m[q] / (1 - 0.9**t), v[q] / (1 - 0.999**t)
                p[q] = p[q] - LR * m_hat / (np.sqrt(v_hat) + 1e-8)
        return loss

    return step


def floor(batch):
    """The eleven matrix products of the step, and nothing else, through NumPy's BLAS."""
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.random(shape, dtype=np.float32)

    x, h, head, z, k, y = (array(batch, n) for n in (D, H, 2 * Z, Z, H, D))
    shapes = (D, H), (H, 2 * Z), (Z, H), (H, D)
    W1, W2, W3, W4 = (array(*s) for s in shapes)
    g1, g2, g3, g4 = (array(*s) for s in shapes)
    dh, dk, dz = array(batch, H), array(batch, H), array(batch, Z)

    def step():
        for a, b, out in (
            (x, W1, h), (h, W2, head), (z, W3, k), (k, W4, y),
            (k.T, y, g4), (y, W4.T, dk), (z.T, dk, g3), (dk, W3.T, dz),
            (h.T, head, g2), (head, W2.T, dh), (x.T, dh, g1),
        ):  # fmt: skip
            np.matmul(a, b, out=out)

    return step


N = 2 * D * H + 3 * Z * H + 2 * H + 2 * Z + D  # parameters of the model


def _vectors():
    rng = np.random.default_rng(0)
    return rng.standard_normal(N, dtype=np.float32), rng.standard_normal(N, dtype=np.float32)


def adam(_):
    """This project's Adam, alone."""
    from scratchvae.train.optim import Adam

    p, g = _vectors()
    optimiser = Adam(p)
    return lambda: optimiser.step(p, g)


def adam_torch(_):
    """PyTorch's fused Adam on one tensor of that size."""
    import torch

    p, g = map(torch.from_numpy, _vectors())
    p.grad = g
    optimiser = torch.optim.Adam([p], lr=LR, fused=True)
    return optimiser.step


def copy(_):
    """What Adam must move, 4 vectors read and 3 written, as copies of that many bytes."""
    a, b = _vectors()
    pieces = [(a, b)] * 3 + [(a[: N // 2], b[: N // 2])]

    def step():
        for source, target in pieces:
            np.copyto(target, source)

    return step


CONTENDERS = {
    f.__name__: f
    for f in (
        *(scratchvae, rank, torch_eager, torch_fused, torch_compiled, jax_jit, naive_numpy, floor),
        *(adam, adam_torch, copy),
    )
}
