"""A variational autoencoder from scratch: NumPy, the chain rule, and nothing else.

    python examples/vae_from_scratch.py [--epochs 20] [--out DIR]

A row is an image. B images, D pixels, H hidden and Z latent units:

    encoder    h = max(x W1 + b1, 0)         x (B,D)  ->  h (B,H)
               mu = h Wm + bm                mu (B,Z): the mean of q(z|x)
               logvar = h Wv + bv            logvar (B,Z): the log of its variance
    sample     z = mu + exp(logvar/2) eps    eps (B,Z), from N(0, I)
    decoder    k = max(z W2 + b2, 0)         z (B,Z)  ->  k (B,H)
               y = k W3 + b3                 y (B,D): pixel d is 1 with probability sigmoid(y_d)

    rec  = -log p(x|z)            = sum_d [log(1 + exp(y_d)) - x_d y_d]
    kl   = KL(q(z|x) || N(0, I))  = sum_j [mu_j^2 + exp(logvar_j) - 1 - logvar_j] / 2
    loss = the mean of rec + kl over the images, in nats

The gradient of the loss with respect to q is called dq, and has the shape of q.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np


def init(D, H, Z, rng):
    """Weights and biases, uniform in +-1/sqrt(inputs of their layer), as in PyTorch."""
    p = {}
    for i, inputs, outputs in [("1", D, H), ("m", H, Z), ("v", H, Z), ("2", Z, H), ("3", H, D)]:
        p["W" + i] = rng.uniform(-1, 1, (inputs, outputs)) / np.sqrt(inputs)
        p["b" + i] = rng.uniform(-1, 1, outputs) / np.sqrt(inputs)
    return p


def decode(p, z):
    """Codes to logits: k and y."""
    k = np.maximum(z @ p["W2"] + p["b2"], 0)
    return k, k @ p["W3"] + p["b3"]


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def forward(p, x, eps):
    """rec and kl of each image, (B,), and what backward reads."""
    h = np.maximum(x @ p["W1"] + p["b1"], 0)
    mu, logvar = h @ p["Wm"] + p["bm"], h @ p["Wv"] + p["bv"]
    z = mu + np.exp(logvar / 2) * eps
    k, y = decode(p, z)
    rec = (np.logaddexp(0, y) - x * y).sum(axis=1)
    kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1) / 2
    return rec, kl, (x, h, mu, logvar, eps, z, k, y)


def loss(p, x, eps):
    rec, kl, _ = forward(p, x, eps)
    return (rec + kl).mean()


# fmt: off
def backward(p, acts):
    """The gradient of each parameter: forward, read from its last line to its first."""
    x, h, mu, logvar, eps, z, k, y = acts
    B, g = len(x), {}  # the mean over B images is the 1/B in dy, dmu and dlogvar
    # gradient                                     forward         derivative
    dy = (sigmoid(y) - x) / B                    # rec             drec/dy = sigmoid(y) - x
    g["W3"] = k.T @ dy                           # y = k W3 + b3   dW3 = k^T dy
    g["b3"] = dy.sum(axis=0)                     #                 db3 = the sum of the rows of dy
    dk = dy @ p["W3"].T                          #                 dk = dy W3^T
    da = dk * (k > 0)                            # k = max(a, 0)   dk/da = 1 where k > 0, else 0
    g["W2"] = z.T @ da                           # a = z W2 + b2   dW2 = z^T da
    g["b2"] = da.sum(axis=0)                     #                 db2 = the sum of the rows of da
    dz = da @ p["W2"].T                          #                 dz = da W2^T
    # mu and logvar are used twice, in z and in kl: the two gradients add
    dmu = dz + mu / B                            # z, kl           dz/dmu = 1,  dkl/dmu = mu
    dlogvar = dz * np.exp(logvar / 2) * eps / 2  # z               dz/dlogvar = exp(logvar/2) eps/2
    dlogvar += (np.exp(logvar) - 1) / 2 / B      # kl              dkl/dlogvar = (exp(logvar) - 1)/2
    g["Wm"] = h.T @ dmu                          # mu = h Wm + bm  dWm = h^T dmu
    g["bm"] = dmu.sum(axis=0)                    #                 dbm = the sum of the rows of dmu
    g["Wv"] = h.T @ dlogvar                      # logvar          dWv = h^T dlogvar
    g["bv"] = dlogvar.sum(axis=0)                #                 dbv = the rows of dlogvar, added
    dh = dmu @ p["Wm"].T + dlogvar @ p["Wv"].T   # mu, logvar      dh = dmu Wm^T + dlogvar Wv^T
    da = dh * (h > 0)                            # h = max(a, 0)   dh/da = 1 where h > 0, else 0
    g["W1"] = x.T @ da                           # a = x W1 + b1   dW1 = x^T da
    g["b1"] = da.sum(axis=0)                     #                 db1 = the sum of the rows of da
    return g
# fmt: on


def adam(p, g, m, v, t, lr=1e-3, b1=0.9, b2=0.999, tiny=1e-8):
    """Step t = 1, 2, ... of Adam (Kingma & Ba, arXiv:1412.6980); changes p, m and v in place."""
    for i in p:
        m[i] = b1 * m[i] + (1 - b1) * g[i]  # a moving average of the gradient,
        v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2  # and of its square; both begin at 0,
        m_hat, v_hat = m[i] / (1 - b1**t), v[i] / (1 - b2**t)  # which this corrects
        p[i] -= lr * m_hat / (np.sqrt(v_hat) + tiny)


def check(p, x, eps, rng, step=1e-6):
    """Relative error of backward, by the slope of the loss in one random direction u."""
    u = {i: rng.standard_normal(p[i].shape) for i in p}
    above, below = (loss({i: p[i] + s * u[i] for i in p}, x, eps) for s in (step, -step))
    slope = (above - below) / (2 * step)  # by finite differences
    g = backward(p, forward(p, x, eps)[2])
    return abs(sum((g[i] * u[i]).sum() for i in p) / slope - 1)


def train(p, X, epochs, rng, B=128):
    """Steps of Adam on batches of B images, in another order in each epoch."""
    m, v = ({i: np.zeros_like(p[i]) for i in p} for _ in range(2))
    t = 0
    for epoch in range(1, epochs + 1):
        sums = np.zeros(2)
        for rows in np.array_split(rng.permutation(len(X)), np.ceil(len(X) / B)):
            eps = rng.standard_normal((len(rows), len(p["bm"])))  # new noise at each step
            rec, kl, acts = forward(p, X[rows], eps)
            t += 1
            adam(p, backward(p, acts), m, v, t)
            sums += rec.sum(), kl.sum()
        rec, kl = sums / len(X)
        print(f"epoch {epoch:2}: loss {rec + kl:5.1f} = rec {rec:5.1f} + kl {kl:4.1f}")


def draw(p, X, rng):
    """Test images, each above what the decoder makes of its mu; and samples, from z ~ N(0, I)."""
    from matplotlib.figure import Figure

    decoded = sigmoid(forward(p, X, 0)[2][-1])
    sampled = sigmoid(decode(p, rng.standard_normal((4 * len(X), len(p["bm"]))))[1])
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    for axes, images, title in zip(
        figure.subplots(2, 1, height_ratios=(1, 2)),
        (np.concatenate([X, decoded]), sampled),
        ("test images and their reconstructions", "samples"),
        strict=True,
    ):
        tiles = images.reshape(-1, len(X), 28, 28).swapaxes(1, 2)  # rows of images, side by side
        axes.imshow(tiles.reshape(-1, 28 * len(X)), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(title, loc="left", color="#1b2a49")
        axes.set_axis_off()
    return figure


def main():
    from scratchvae import load_data  # 28 x 28 digits; any images in [0, 1], (N,784), will do

    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, help="a folder; default: a new temporary one")
    options = parser.parse_args()
    picture = (options.out or Path(tempfile.mkdtemp())) / "vae_from_scratch.png"
    if picture.exists():
        parser.error(f"{picture} exists: choose another --out")
    X, X_test = (load_data("strokes", split)[0] / 255 for split in ("train", "test"))
    rng = np.random.default_rng(0)
    p = init(D=784, H=200, Z=8, rng=rng)
    error = check(p, X[:10], rng.standard_normal((10, 8)), rng)
    verdict = "right" if error < 1e-6 else "wrong"
    print(f"backward and finite differences differ by {error:.0e}: {verdict}")
    train(p, X, options.epochs, rng)
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(p, X_test[:16], rng).savefig(picture, dpi=110)
    print(picture)


if __name__ == "__main__":
    main()
