"""Run by train/test_parallel.py under mpiexec: `python ranks.py KIND BATCH DEVICE [machines]`.

Trains a model of that kind on 22 rows for two epochs; rank 0 prints losses and parameters, a line.
KIND may name several, with commas between, which follow one another; "vae-clipped" clips gradients,
"free bits" and "capacity" are a VAE and a CVAE with those. Where it is "differ", rank 1 reads other
data; "moment": one of its moments overflows; "late": it gets SIGTERM after the last epoch; "dies":
it is killed; "alone": it fails before it begins; "apart": the ranks resume from different
checkpoints. The DEVICE "double" is a GPU's, see strict_cupy.py. With "machines", each rank behaves
as if it were on a machine of its own.
"""

import os
import signal
import sys

import numpy as np
from mpi4py import MPI

from scratchvae.backend import to_numpy
from scratchvae.errors import InputError
from scratchvae.models import MODELS
from scratchvae.train.parallel import ParallelTrainer
from scratchvae.train.ranks import Ranks, world

kinds, batch, device = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3]
if device == "double":
    import strict_cupy

    sys.modules["cupy"], device = strict_cupy, "cuda"
MPI.pickle.THRESHOLD = 0  # map small arrays, too
ranks = Ranks(world())
rank = ranks.comm.rank
if "machines" in sys.argv:
    ranks.node, ranks.share_memory = ranks.comm.Split(rank), False
# the mean KL of a part of the first batch lies above these, and that of another below
CHARGED = {"free bits": ("vae", {"free_bits": 0.012}), "capacity": ("cvae", {"capacity": 0.065})}


def after_an_epoch(trainer, record):
    if rank == 1 and "dies" in kinds:
        print("rank 1 dies", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1 and "late" in kinds and record["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGTERM)


def train(kind):
    if kind == "alone" and rank == 1:
        raise InputError("rank 1 has no data")
    rng = np.random.default_rng(0)
    kind, _, clipped = kind.partition("-")
    X, y = rng.random((22, 9)), np.arange(22) % 3 - (kind == "m2")
    X[0, 0] += 0.001 * rank * (kind == "differ")
    name, options = CHARGED.get(kind, (kind if kind in MODELS else "vae", {}))
    size = {"latent_dim": 2, "hidden": (5,), "dtype": "float64"}
    model = MODELS[name](**size, seed=rank, device=device, **options)
    model.build_from(X, y)
    trainer = ParallelTrainer(
        ranks,
        model,
        X,
        y=y,
        batch_size=batch,
        binarize="dynamic",
        lr=1e300 if kind == "nan" else 0.01,
        clip_norm=0.1 if clipped else None,
    )
    model.seed = 0  # only the parameters to begin with came from other seeds
    if kind == "moment" and rank == 1:
        update = trainer.adam.update

        def spoil(*arguments):
            update(*arguments)
            if trainer.step == 3:
                trainer.adam.v[-1] = np.inf

        trainer.adam.update = spoil
    if kind == "apart":
        trainer.resume({"rows": 22, "step": rank}, trainer.state()[1])
    if ranks.node.size > 1 and device == "cpu" and trainer.X.flags.writeable:
        raise InputError("the data of the ranks can be written to")
    try:
        trainer.run(2, callbacks=after_an_epoch)
    except KeyboardInterrupt as stop:
        print(f"rank {rank} stops by signal {stop}")
        return
    if rank == 0:
        record = model.history_[-1]
        numbers = [record["train_loss"], record["kl"], *to_numpy(model.params_.array)]
        np.savetxt(sys.stdout, [numbers], "%.17g")


def task():
    for kind in kinds:
        train(kind)
    return 0


try:
    sys.exit(ranks.run(task))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
