"""The same training on CPU (NumPy) and GPU (CuPy): the same results, different times.

    python examples/numpy_against_cupy.py [--epochs 3]

Without a GPU it says so, and exits with code 0.
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
    """A trained model, and the seconds of its last epoch, when everything is compiled."""
    vae = VAE(latent_dim=32, device=device, seed=0)
    vae.fit(X, X_test=X_test, epochs=options.epochs)
    return vae, vae.history_[-1]["seconds"]


start = time.perf_counter()
cpu, seconds = train("cpu")
print(f"NumPy: test loss {cpu.history_[-1]['test_loss']:.3f}, an epoch in {seconds:.3f} s")
try:
    gpu, on_gpu = train("cuda")
except InputError as reason:
    print(f"CuPy: not measured, because no usable GPU was found: {reason}")
else:
    print(f"CuPy:  test loss {gpu.history_[-1]['test_loss']:.3f}, an epoch in {on_gpu:.3f} s")
    a, b = cpu.encode(X_test)[0], gpu.encode(X_test)[0]
    apart, size = np.abs(a - b).mean(), np.abs(a).mean()
    print(f"CuPy's epoch takes {on_gpu / seconds:.3f} of NumPy's time; the test codes differ")
    print(f"by {apart:.1e} on average, with mean size {size:.2f}: rounding, amplified by training")
print(f"total time {time.perf_counter() - start:.1f} s")
