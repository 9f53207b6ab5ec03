"""Where the time of a training step goes: `python tests/benchmarks/profile_step.py [BATCH [STEPS]]`

Milliseconds a step, the mean over 300 steps of the blog post's model, of the whole and of its
parts, which are wrapped for it. The matrix products have their additions of biases with them. A
mean, since what serves several steps at once, such as noise drawn in bulk, costs only one of them.
"""

import sys
import time
from collections import Counter

import contenders

from scratchvae import VAE, ops
from scratchvae.backend import noise
from scratchvae.train import optim
from scratchvae.train import trainer as train

WARM_UP = 50  # steps
PARTS = (
    (ops, "linear", "products, forward"),
    (ops, "linear_backward", "products, backward"),
    (ops, "bce_with_logits", "loss, forward"),
    (ops, "bce_with_logits_backward", "loss, backward"),
    (optim.Adam, "update", "Adam"),
    (noise.Ahead, "normal", "noise"),
    (train, "to_float", "bytes to floats"),
)

batch = int(sys.argv[1]) if len(sys.argv) > 1 else 128
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 300
spent = Counter()


def timed(owner, name, label):
    """Let what owner.name takes be counted under that label."""
    f = getattr(owner, name)

    def wrapped(*arguments, **options):
        start = time.perf_counter()
        result = f(*arguments, **options)
        spent[label] += time.perf_counter() - start
        return result

    setattr(owner, name, wrapped)


for part in PARTS:
    timed(*part)

X, batches = contenders.pixels(batch), contenders.rows(batch)
vae = VAE(latent_dim=contenders.Z, hidden=(contenders.H,)).build(contenders.D)
trainer = train.Trainer(vae, X, batch_size=batch)
for _ in range(WARM_UP):
    trainer.take_step(next(batches))
spent.clear()
start = time.perf_counter()
for _ in range(steps):
    trainer.take_step(next(batches))
whole = time.perf_counter() - start
if uncalled := [f"{owner.__name__}.{name}" for owner, name, label in PARTS if label not in spent]:
    raise SystemExit(f"a step no longer calls {', '.join(uncalled)}: adapt PARTS")
rest = whole - spent.total()
for label, seconds in [("the step", whole), *spent.most_common(), ("the rest", rest)]:
    print(f"{label:20}{1e3 * seconds / steps:9.3f}{seconds / whole:8.0%}")
