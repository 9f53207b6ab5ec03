"""The same training on the CPU (NumPy) and on the GPU (CuPy): the same path, another time.

    python examples/numpy_against_cupy.py [--epochs 3]

Without a GPU it says so, and ends with exit code 0.
"""

import argparse
import time

import numpy as np

from scratchvae import VAE, InputError, load_data

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--epochs", type=int, default=3)
options = parser.parse_args()

X, _ = load_data("strokes")
X_test, _ = load_data("strokes", split="test")


def train(device):
    """A trained model, and seconds an epoch: the last one, after all has been compiled."""
    vae = VAE(latent_dim=32, device=device, seed=0)
    vae.fit(X, X_test=X_test, epochs=options.epochs)
    return vae, vae.history_[-1]["seconds"]


start = time.perf_counter()
cpu, seconds = train("cpu")
print(f"NumPy: test loss {cpu.history_[-1]['test_loss']:.3f}, an epoch in {seconds:.3f} s")
try:
    gpu, on_gpu = train("cuda")
except InputError as reason:
    print(f"CuPy: not measured, there is no GPU that it can use: {reason}")
else:
    print(f"CuPy:  test loss {gpu.history_[-1]['test_loss']:.3f}, an epoch in {on_gpu:.3f} s")
    a, b = cpu.encode(X_test)[0], gpu.encode(X_test)[0]
    apart, size = np.abs(a - b).mean(), np.abs(a).mean()
    print(f"CuPy's epoch takes {on_gpu / seconds:.3f} of NumPy's; codes of the test digits differ")
    print(f"by {apart:.1e} on average, of {size:.2f}: rounding, and what training makes of it")
print(f"all of it took {time.perf_counter() - start:.1f} s")
