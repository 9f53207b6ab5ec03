"""The NLL of a small VAE on MNIST that was made binary once.

    python examples/recipes/static_mnist.py DIR

784-400-40-400-784 ReLU, as pythae's reproduction of a VAE (89.78, 200 samples): 50,000 images to
train, 10,000 to choose the epoch, 10,000 to test. Its schedule is 500 epochs at 1e-4, ours is
shorter and steeper. The binary images are a draw of our own, since the file of Larochelle & Murray
is not at hand.
"""

import argparse

from scratchvae import VAE, load_data
from scratchvae.evaluate import evaluate
from scratchvae.published import compare

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("data_dir")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()

X, _ = load_data("mnist", "train", a.data_dir)
X_test, _ = load_data("mnist", "test", a.data_dir)
best = {"loss": float("inf")}


def keep_the_best(trainer, record):
    if record["test_loss"] < best["loss"]:
        best.update(loss=record["test_loss"], epoch=record["epoch"])
        best["state"] = trainer.model.state_dict()


vae = VAE(latent_dim=40, seed=a.seed)
vae.fit(
    X[:50_000], X_test=X[50_000:], epochs=a.epochs, batch_size=100, binarize="static",
    lr=lambda epoch: 1e-3 * 0.02 ** (epoch / a.epochs), callbacks=keep_the_best, verbose=True,
)  # fmt: skip
vae.load_state_dict(best["state"])
found = evaluate(vae, X_test, k=200, binarize="static", data="mnist", split="test split")
print("expected   at most 90.5")
print(f"ours       {compare(found, 'pythae-vae')}")
print(
    f"protocol   {a.epochs} epochs, 1e-3 to 2e-5; the best on validation is epoch {best['epoch']}"
)
print(f"\n{found}")
