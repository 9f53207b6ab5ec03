"""Table 1 of Burda et al. (arXiv:1509.00519), one stochastic layer, on MNIST: the test NLL.

    python examples/recipes/iwae.py DIR --k 5 --stages 6 --out k5.npz
    python examples/recipes/iwae.py DIR --k 5 --cool k5.npz --out k5_cooled.npz

The authors' protocol, from their code (github.com/yburda/iwae): 784-200-200-50 tanh, Glorot
weights, output bias at the mean pixel, the first 59,600 training images dynamically binarized,
batches of 20; stage i is 3^(i-1) epochs at 1e-4 round(10^(1 - (i-1)/7), 1). Their Adam has
beta1 0.99, eps 1e-4 and second moments that start at 1, on gradients summed over the batch; for
mean gradients, as here, eps is 1e-4/20 and v starts at 1/400. Here batches are shuffled, and the
encoder outputs log variances, not log standard deviations.

Eight stages are 3280 epochs. After only six, the step size is still large: --cool trains a model
for 60 more epochs, decaying from the rate of stage 6 to a twentieth of it. If the file --out
exists, its model is measured without training; with --checkpoint, a killed run is continued.
"""

import argparse
from pathlib import Path

import numpy as np
from recipe_tools import add_run_options, print_result

from scratchvae import IWAE, InputError, load_data, load_model
from scratchvae.evaluate import compare, evaluate
from scratchvae.evaluate.metrics import active_units
from scratchvae.train import Trainer

BATCH = 20
COOL = 60
SAMPLES = 5000
SETTINGS = {
    "batch_size": BATCH,
    "binarize": "dynamic",
    "adam": {"beta1": 0.99, "eps": 1e-4 / BATCH, "v0": 1 / BATCH**2},
}


def stage(epoch: float) -> int:
    i = 1
    while epoch >= (3**i - 1) / 2:
        i += 1
    return i


def lr(epoch: float) -> float:
    return 1e-4 * round(10 ** (1 - (stage(epoch) - 1) / 7), 1)


def cooled_lr(epoch: float) -> float:
    return 1.93e-4 * 0.05 ** (epoch / COOL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir")
    parser.add_argument("--k", type=int, default=1, choices=(1, 5, 50))
    parser.add_argument("--stages", type=int, default=6, help="6 stages are 364 epochs")
    parser.add_argument("--cool", type=Path, metavar="MODEL", help="continue training this model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=1000, help="random test images")
    parser.add_argument("--seed", type=int, default=0)
    add_run_options(parser)
    a = parser.parse_args()
    try:
        X = load_data("mnist", "train", a.data_dir)[0][:59_600]
        X_test = load_data("mnist", "test", a.data_dir)[0]
        for file in filter(None, (a.cool, a.out)):
            if file.exists() and (k := load_model(file).get_params().get("k")) != a.k:
                raise InputError(f"{file} was trained with k = {k}, not {a.k}")
        if a.checkpoint or not a.out.exists():
            train(a, X, X_test[:1000])
        model = load_model(a.out, a.device)
    except InputError as error:
        parser.error(str(error))
    found = evaluate(
        model, X_test, k=SAMPLES, examples=a.examples, binarize="dynamic", data="mnist",
        split="test split",
    )  # fmt: skip
    units = active_units(model.transform(X[:500])).sum()
    print("expected   within 1.0 of the paper, whose 8 stages are 3280 epochs")
    print(f"ours       {compare(found, f'iwae-k{a.k}')}")
    how = f"{COOL} epochs more than {a.cool}" if a.cool else f"{a.stages} stages"
    print(f"protocol   {how}; {units} active units over 500 training images")
    print(f"\n{found}")
    print_result(nll=(-found.log_likelihood, found.standard_error))


def train(a: argparse.Namespace, X: np.ndarray, X_test: np.ndarray) -> None:
    def keep(trainer: Trainer, record: dict) -> None:
        trainer.model.save(a.out)
        if not a.cool and stage(trainer.epoch) > stage(trainer.epoch - 1):
            print(f"end of stage {stage(trainer.epoch - 1)}:", record, flush=True)

    if a.cool:
        model = load_model(a.cool, a.device)
        trainer = Trainer(
            model, X, X_test, lr=cooled_lr, checkpoint_file=a.checkpoint, **SETTINGS
        )  # fmt: skip
        trainer.run(COOL, callbacks=keep)
        return
    model = IWAE(
        k=a.k, latent_dim=50, hidden=(200, 200), activation="tanh", init="glorot",
        bias_from_data=True, seed=a.seed, device=a.device,
    )  # fmt: skip
    epochs = (3**a.stages - 1) // 2
    model.fit(
        X, X_test=X_test, epochs=epochs, lr=lr, callbacks=keep, checkpoint_file=a.checkpoint,
        **SETTINGS,
    )  # fmt: skip


if __name__ == "__main__":
    main()
