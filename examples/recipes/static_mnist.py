"""The NLL of a small VAE on MNIST that was made binary once.

    python examples/recipes/static_mnist.py DIR

The protocol of pythae's reproduction of a VAE (89.78, 200 samples): 784-400-40-400-784 ReLU, batch
100, 500 epochs at 1e-4, less by 10^(-1/5) from epochs 200 and 350 on; 50,000 images to train,
10,000 to choose the epoch, 10,000 to test. The binary images are a draw of our own, since the file
of Larochelle & Murray is not at hand.
"""

import argparse

from recipe_tools import print_result

from scratchvae import VAE, load_data
from scratchvae.evaluate import compare, evaluate

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("data_dir")
parser.add_argument("--epochs", type=int, default=500)
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
    lr=lambda epoch: 1e-4 * 10 ** (-((epoch >= 200) + (epoch >= 350)) / 5),
    callbacks=keep_the_best, verbose=True,
)  # fmt: skip
vae.load_state_dict(best["state"])
found = evaluate(vae, X_test, k=200, binarize="static", data="mnist", split="test split")
print("expected   at most 90.5")
print(f"ours       {compare(found, 'pythae-vae')}")
print(f"protocol   {a.epochs} epochs; the best on validation is epoch {best['epoch']}")
print(f"\n{found}")
print_result(nll=(-found.log_likelihood, found.standard_error))
