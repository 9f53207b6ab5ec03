"""Fixtures for all tests, no network beyond loopback, and a short summary of what was skipped."""

import os
import signal
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from support import strict_cupy
from support.devices import real_cupy

from scratchvae import VAE, cli
from scratchvae.data import strokes
from scratchvae.data.sources import EMBEDDED
from scratchvae.models import load  # noqa: F401  (imports every module that registers an op)
from scratchvae.pictures import gallery

# a script's "&" may have told this process to ignore it, and those that it starts
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.load_profile("ci")

# one worker of pytest-xdist runs all tests of such a file: they share what a fixture computes
TOGETHER = (
    "cli/test_model_commands.py",
    "cli/test_workers.py",
    "pictures/test_explorer.py",
    "pictures/test_gallery.py",
    "pictures/test_playground.py",
    "train/test_parallel.py",
    "verify/test_known_bugs.py",
    "verify/test_verify_command.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """--dist loadgroup, by file: xdist 3.8 writes its marks to what pytest 9.2 does not read."""
    from xdist.scheduler import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return file if file.endswith(TOGETHER) else nodeid

    return ByFile(config, log) if config.getvalue("dist") == "loadgroup" else None


LOOPBACK = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::")


def stay_on_loopback(event, args):
    """An audit hook: whatever a test calls, it talks to no other machine."""
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host or ""
    if host not in LOOPBACK:
        raise RuntimeError(f"{host} is beyond loopback, where no test may go")


sys.addaudithook(stay_on_loopback)


def pytest_terminal_summary(terminalreporter):
    """Print why tests were skipped or expected to fail: each reason once, with a count."""
    reports = terminalreporter.stats
    skipped = [r.longrepr[2].removeprefix("Skipped: ") for r in reports.get("skipped", ())]
    xfailed = [r.wasxfail for r in reports.get("xfailed", ())]
    for title, reasons in (("skipped", skipped), ("expected to fail", xfailed)):
        if reasons:
            terminalreporter.section(f"{title}: {len(reasons)}")
        for reason, count in Counter(reasons).most_common():
            terminalreporter.write_line(f"{count:5}  {reason}")


MNIST_FOLDERS = [
    Path(os.environ.get("SCRATCHVAE_DATA", "/nonexistent")),
    Path(os.environ.get("SCRATCHVAE_DATA", "/nonexistent")) / "mnist",
    Path(__file__).parents[2] / "shared" / "data" / "mnist",
]


@pytest.fixture
def double(monkeypatch):
    """The strict double in the place of CuPy: device="cuda" then runs on it."""
    monkeypatch.setitem(sys.modules, "cupy", strict_cupy)
    monkeypatch.setattr("scratchvae.train.cuda_graph.Blas", strict_cupy.Blas)
    strict_cupy.counts.clear()
    strict_cupy.early = False
    return strict_cupy


@pytest.fixture(params=["numpy", "double", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    """The array module of each kind of device: NumPy, the double of CuPy, CuPy on a GPU."""
    if request.param == "numpy":
        return np
    if request.param == "double":
        return request.getfixturevalue("double")
    return real_cupy()


@pytest.fixture(scope="session", autouse=True)
def strokes_drawn_once():
    """`load_data("strokes")` takes a second, and dozens of tests call it: share the drawing."""
    drawn = cache(strokes.generate)
    with pytest.MonkeyPatch.context() as patch:
        once = SimpleNamespace(
            SIDE=strokes.SIDE, generate=lambda split: tuple(a.copy() for a in drawn(split))
        )
        patch.setitem(EMBEDDED, "strokes", once)
        yield


@pytest.fixture(scope="session")
def mnist_dir():
    for folder in MNIST_FOLDERS:
        if (folder / "t10k-images-idx3-ubyte.gz").exists():
            return folder
    pytest.skip("real MNIST is not here: name its folder in SCRATCHVAE_DATA")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def xWb(rng):
    """The inputs of a linear layer, float64."""
    return {
        "x": rng.standard_normal((4, 6)),
        "W": rng.standard_normal((6, 3)),
        "b": rng.standard_normal(3),
    }


@pytest.fixture
def tiny():
    """A small float64 VAE with data and noise for one batch."""
    rng = np.random.default_rng(1)
    vae = VAE(latent_dim=3, hidden=(7,), dtype="float64", seed=1).build(9)
    return vae, rng.random((4, 9)), rng.standard_normal((4, 3))


@pytest.fixture
def image_file(tmp_path):
    """A file of 60 images of 4 x 4 pixels, with labels."""
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, X=rng.integers(0, 256, (60, 4, 4)).astype(np.uint8), y=np.arange(60) % 3)
    return path


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs leave none: they take most of the time of a small one."""
    monkeypatch.setattr(gallery, "leave", lambda *a: ({}, {}))


@pytest.fixture
def train_run(image_file, tmp_path, no_pictures):
    """Train by the command line, without pictures; returns the exit code and the folder."""

    def run(out, *options):
        folder = tmp_path / out
        small = ("--latent-dim", "2", "--hidden", "8", "--epochs", "3", "--batch-size", "8")
        argv = ["train", "--data", str(image_file), *small, "--quiet", "--out", str(folder)]
        return cli.main([*argv, *options]), folder

    return run
