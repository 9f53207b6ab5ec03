"""The VAE of pytorch/examples on grey MNIST: the test loss after seven epochs.

    python examples/recipes/grey_mnist.py DIR

784-400-20 ReLU, batches of 128, Adam 1e-3, binary cross-entropy of grey pixels plus KL.
"""

import argparse

from recipe_tools import print_result

from scratchvae import VAE, InputError, load_data
from scratchvae.evaluate import compare, evaluate

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("data_dir")
parser.add_argument("--seed", type=int, default=0)
a = parser.parse_args()

try:
    X, _ = load_data("mnist", "train", a.data_dir)
    X_test, _ = load_data("mnist", "test", a.data_dir)
except InputError as error:
    parser.error(str(error))
vae = VAE(latent_dim=20, seed=a.seed).fit(X, X_test=X_test, epochs=7, verbose=True)
found = evaluate(vae, X_test, data="mnist", split="test split")
print("expected   106.7 +- 0.7 (pytorch/examples 106.66; its flax port 107.05 +- 0.25)")
print(f"ours       {compare(found, 'pytorch-example')}")
print(f"\n{found}")
print_result(nelbo=(-found.elbo, found.elbo_error))
