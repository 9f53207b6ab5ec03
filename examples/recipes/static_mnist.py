"""The NLL of a small VAE on statically binarized MNIST.

    python examples/recipes/static_mnist.py DIR
    python examples/recipes/static_mnist.py DIR --original          the original binary images
    python examples/recipes/static_mnist.py DIR --hidden 400 400    two hidden layers on each side
    python examples/recipes/static_mnist.py DIR --peer              pythae's model instead

The protocol of pythae's reproduction of a VAE (89.78, 200 samples): 784-400-40-400-784 ReLU, batch
100, 500 epochs at 1e-4, times 10^(-1/5) from epochs 200 and 350 on; 50,000 images to train,
10,000 to choose the epoch, 10,000 to test. The binary images are our own draw from the grey images;
with --original, they are those of Larochelle & Murray (AISTATS 2011), which pythae uses, in the
files binarized_mnist_train.amat, _valid.amat and _test.amat in DIR. --peer uses pythae's own model,
trainer and get_nll on the same images; it needs `pip install pythae==0.1.2 torch==2.13.0`.
"""

import argparse
import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from recipe_tools import BestEpoch, add_run_options, print_result

from scratchvae import VAE, InputError, load_data
from scratchvae.evaluate import compare, evaluate
from scratchvae.train.measure import prepare

LATENT, BATCH, SAMPLES = 40, 100, 200
LR, MILESTONES, GAMMA = 1e-4, (200, 350), 10 ** (-1 / 5)
ORIGINAL = {  # SHA-256, from url_checksums/binarized_mnist.txt in github.com/tensorflow/datasets
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}


def lr(epoch: float) -> float:
    return LR * GAMMA ** sum(epoch >= milestone for milestone in MILESTONES)


def images(a: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The images to train, to choose the epoch and to test: (N, 784), uint8."""
    if a.original:
        return tuple(original(Path(a.data_dir), part) for part in ORIGINAL)
    X, _ = load_data("mnist", "train", a.data_dir)
    X_test, _ = load_data("mnist", "test", a.data_dir)
    n = len(X) * 5 // 6  # 50,000 of 60,000
    return X[:n], X[n:], X_test


def original(folder: Path, part: str) -> np.ndarray:
    """Larochelle & Murray's binary images as pixels of 0 and 255: (N, 784)."""
    path = folder / f"binarized_mnist_{part}.amat"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"--original needs {path}: {error.strerror}") from None
    if hashlib.sha256(text).hexdigest() != ORIGINAL[part]:
        raise InputError(f"{path} is not the original file: its SHA-256 differs")
    # lines of 784 digits, each followed by a space or the end of the line
    return 255 * (np.frombuffer(text, np.uint8)[::2] - ord("0")).reshape(-1, 784)


def ours(a: argparse.Namespace, X: np.ndarray, X_valid: np.ndarray, X_test: np.ndarray) -> None:
    vae, best = VAE(LATENT, tuple(a.hidden), seed=a.seed, device=a.device), BestEpoch(a.checkpoint)
    vae.fit(
        X, X_test=X_valid, epochs=a.epochs, batch_size=BATCH, binarize="static", lr=lr,
        callbacks=best, checkpoint_file=a.checkpoint, verbose=True,
    )  # fmt: skip
    record = best.restore(vae)
    found = evaluate(vae, X_test, k=SAMPLES, binarize="static", data="mnist", split="test split")
    print("expected   at most 90.5")
    print(f"ours       {compare(found, 'pythae-vae', a.original)}")
    print(
        f"protocol   {a.epochs} epochs; the best on validation is epoch {record['epoch']}, with "
        f"{record['test_loss']:.2f}"
    )
    print(f"\n{found}")
    print_result(nll=(-found.log_likelihood, found.standard_error))


def peer(a: argparse.Namespace, X: np.ndarray, X_valid: np.ndarray, X_test: np.ndarray) -> None:
    """Train pythae's VAE on the same binary images as ours, and print its NLL."""
    try:
        import torch
        from pythae.data.preprocessors import DataProcessor
        from pythae.models import VAE as PeerVAE
        from pythae.models import VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError as error:
        raise SystemExit(
            f"--peer needs pythae and PyTorch ({error}): pip install pythae==0.1.2 torch==2.13.0"
        ) from None

    def layers(*widths: int) -> list[torch.nn.Module]:
        return [
            part for i, o in pairwise(widths) for part in (torch.nn.Linear(i, o), torch.nn.ReLU())
        ]

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(*layers(784, *a.hidden))
            self.mu, self.logvar = (torch.nn.Linear(a.hidden[-1], LATENT) for _ in range(2))

        def forward(self, x: torch.Tensor) -> ModelOutput:
            h = self.body(x.flatten(1))
            return ModelOutput(embedding=self.mu(h), log_covariance=self.logvar(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            out = torch.nn.Linear(a.hidden[0], 784), torch.nn.Sigmoid()
            self.body = torch.nn.Sequential(*layers(LATENT, *reversed(a.hidden)), *out)

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z).reshape(-1, 1, 28, 28))

    # the seed of its script, which draws the first parameters before setting it
    torch.manual_seed(123)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    model = PeerVAE(config, encoder=Encoder(), decoder=Decoder())
    pixels = VAE(LATENT, seed=a.seed).build_from(X)  # draws the binary images
    binary = [
        (prepare(pixels, part, None, "static") / np.float32(255)).reshape(-1, 1, 28, 28)
        for part in (X, X_valid, X_test)
    ]
    process = DataProcessor()
    train, valid = (process.to_dataset(process.process_data(part)) for part in binary[:2])
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, num_epochs=a.epochs, learning_rate=LR, no_cuda=a.device == "cpu",
            per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            scheduler_cls="MultiStepLR",
            scheduler_params={"milestones": list(MILESTONES), "gamma": GAMMA},
        )  # fmt: skip
        trainer = BaseTrainer(model, train, valid, settings)
        trainer.train()
    test = torch.tensor(binary[2]).to(trainer.device)
    best = trainer._best_model.eval()  # what it saves as its final model
    with torch.no_grad():
        nll = -float(best.get_nll(test, n_samples=SAMPLES))  # it returns the mean of log p(x)
    print(f"pythae     {nll:.2f} by its get_nll, {SAMPLES} samples; {a.epochs} epochs")
    print_result(peer=(nll, None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data_dir")
    parser.add_argument("--hidden", type=int, nargs="+", default=[400], metavar="WIDTH")
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="with --peer, of the binary images")
    parser.add_argument("--peer", action="store_true", help="pythae's model instead of ours")
    parser.add_argument("--original", action="store_true", help="images of Larochelle & Murray")
    add_run_options(parser)
    a = parser.parse_args()
    if a.peer and a.checkpoint:
        parser.error("pythae's trainer cannot resume a run: leave --checkpoint out")
    try:
        found = images(a)
    except InputError as error:
        parser.error(str(error))
    (peer if a.peer else ours)(a, *found)


if __name__ == "__main__":
    main()
