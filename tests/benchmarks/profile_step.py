"""Where the time of a training step goes: `python tests/benchmarks/profile_step.py [BATCH]`

Milliseconds a step, the median over 300 steps of the blog post's model, of the whole and of its
parts, which are wrapped for it. The matrix products have their additions of biases with them.
"""

import sys
import time
from collections import defaultdict
from statistics import median

import contenders

from scratchvae import VAE, ops
from scratchvae.models.model import Model
from scratchvae.train import optim
from scratchvae.train import trainer as train

batch = int(sys.argv[1]) if len(sys.argv) > 1 else 128
spent = defaultdict(float)


def timed(owner, name, label):
    """Let what owner.name takes be counted under that label."""
    f = getattr(owner, name)

    def wrapped(*arguments, **options):
        start = time.perf_counter()
        result = f(*arguments, **options)
        spent[label] += time.perf_counter() - start
        return result

    setattr(owner, name, wrapped)


for owner, name, label in (
    (ops, "linear", "products"),
    (ops, "linear_backward", "products"),
    (ops, "bce_with_logits", "loss and its gradient"),
    (ops, "bce_with_logits_backward", "loss and its gradient"),
    (optim.Adam, "update", "Adam"),
    (Model, "_draw", "noise"),
    (train, "to_float", "bytes to floats"),
):
    timed(owner, name, label)

X, batches = contenders.pixels(batch), contenders.rows(batch)
vae = VAE(latent_dim=contenders.Z, hidden=(contenders.H,)).build(contenders.D)
trainer = train.Trainer(vae, X, batch_size=batch)
found = defaultdict(list)
for step in range(350):
    spent.clear()
    start = time.perf_counter()
    trainer.take_step(next(batches))
    spent["step"] = time.perf_counter() - start
    if step >= 50:
        for label, seconds in spent.items():
            found[label].append(1e3 * seconds)
for label, times in found.items():
    print(f"{label:24}{median(times):8.3f}")
