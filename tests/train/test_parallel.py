"""Several ranks take the same step as one process, stay equal, and end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.devices import real_cupy

from scratchvae import VAE, cli
from scratchvae.models import MODELS
from scratchvae.train.parallel import part
from scratchvae.train.ranks import Ranks

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
MPIEXEC = shutil.which(
    "mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")
SCRIPT = Path(__file__).parents[1] / "support" / "ranks.py"
KINDS = (*MODELS, "free bits", "capacity")  # the last two need the mean KL of the whole batch
LIMIT = 60  # seconds, after which a job counts as hanging
ENV = os.environ | {"OPENBLAS_NUM_THREADS": "1"}


def job(n, *command):
    return subprocess.run(
        [MPIEXEC, "-n", str(n), sys.executable, *map(str, command)],
        capture_output=True, text=True, timeout=LIMIT, check=False, env=ENV,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def mpi_starts():
    """Some sandboxes let no MPI start, whoever asks for it."""
    done = job(2, "-c", "import sys; from mpi4py import MPI; sys.exit(MPI.COMM_WORLD.size != 2)")
    if done.returncode:
        pytest.skip(f"two ranks of MPI do not start here: {done.stderr[:200]}")


def paths_of(n, kinds, batch, *where):
    done = job(n, SCRIPT, ",".join(kinds), batch, *where or ["cpu"])
    assert done.returncode == 0, done.stderr
    lines = [np.array(line.split(), dtype=float) for line in done.stdout.splitlines()]
    return dict(zip(kinds, lines, strict=True))


def path_of(n, kind, batch, *where):
    return paths_of(n, [kind], batch, *where)[kind]


@pytest.fixture(scope="module")
def paths():
    """What one, two and three ranks come to, by model."""
    return {n: paths_of(n, KINDS, 7) for n in (1, 2, 3)}


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (7, 3), (8, 1), (5, 5), (3, 4)])
def test_the_parts_are_the_whole_in_order(n, size):
    parts = [range(n)[part(n, rank, size)] for rank in range(size)]
    assert [row for piece in parts for row in piece] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_ranks_follows_the_same_path(kind, paths):
    """22 rows in batches of 7: the last batch has one row, so with more ranks some have none."""
    for n in (2, 3):
        np.testing.assert_allclose(paths[n][kind], paths[1][kind], rtol=1e-10, atol=1e-12)


def test_parts_of_equal_sizes_follow_it_too():
    """The gradients of batches of 6 are weighted after their sum, in others before it."""
    one, two, three = (paths_of(n, ["vae", "vae-clipped"], 6) for n in (1, 2, 3))
    for kind, path in one.items():
        np.testing.assert_allclose(two[kind], path, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(three[kind], path, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [2, 3])
def test_ranks_on_several_machines_follow_it_too(n, paths):
    for kind, path in paths_of(n, KINDS, 7, "cpu", "machines").items():
        np.testing.assert_allclose(path, paths[1][kind], rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def clipped_paths():
    return {n: paths_of(n, [f"{kind}-clipped" for kind in MODELS], 7) for n in (1, 2, 3)}


@pytest.mark.parametrize("kind", MODELS)
def test_clipping_is_by_the_norm_of_the_whole_batch(kind, clipped_paths, paths):
    one, two, three = (path[f"{kind}-clipped"] for path in clipped_paths.values())
    assert not np.allclose(one, paths[1][kind], rtol=1e-4)
    np.testing.assert_allclose(two, one, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(three, one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("device", ["double", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_ranks_with_gpus_follow_it_too(device, n, paths, clipped_paths):
    if device == "cuda":
        real_cupy()
    found = paths_of(n, ["vae", "free bits", "vae-clipped"], 7, device)
    wanted = paths[1] | clipped_paths[1]
    for kind, path in found.items():
        np.testing.assert_allclose(path, wanted[kind], rtol=1e-9)


def test_one_rank_is_the_plain_trainer(paths):
    rng = np.random.default_rng(0)
    model = VAE(latent_dim=2, hidden=(5,), dtype="float64").fit(
        rng.random((22, 9)), epochs=2, batch_size=7, binarize="dynamic", lr=0.01
    )
    record = model.history_[-1]
    plain = [record["train_loss"], record["kl"], *model.params_.array]
    np.testing.assert_allclose(paths[1]["vae"], plain, rtol=1e-12)


def test_data_that_differ_are_noticed():
    done = job(2, SCRIPT, "differ", 7, "cpu", "machines")
    assert done.returncode != 0
    assert done.stderr.count("the ranks read different data") == 1


def test_a_rank_that_dies_ends_the_job():
    done = job(2, SCRIPT, "dies", 7, "cpu")
    assert done.returncode != 0
    assert "rank 1 dies" in done.stderr
    assert not any(line[:1].isdigit() for line in done.stdout.splitlines())  # no parameters


def test_ranks_that_resume_from_other_checkpoints_do_not_wait_for_each_other():
    done = job(2, SCRIPT, "apart", 7, "cpu")
    assert done.returncode != 0
    assert "the ranks read different checkpoints" in done.stderr


def test_what_one_rank_lacks_is_said_once_and_ends_all():
    done = job(3, SCRIPT, "alone", 7, "cpu")
    assert done.returncode != 0
    assert done.stderr.count("InputError: rank 1 has no data") == 1


def test_a_nan_is_found_by_all_and_said_once():
    done = job(2, SCRIPT, "nan", 7, "cpu")
    assert done.returncode != 0
    assert done.stderr.count("NonFiniteError") == 1
    assert "is the first tensor that holds a NaN or an infinity" in done.stderr


def test_what_overflows_in_one_slice_stops_all_ranks():
    done = job(2, SCRIPT, "moment", 7, "cpu")
    assert done.returncode != 0
    assert done.stderr.count("NonFiniteError") == 1
    assert "step 4: the moment v is the first tensor" in done.stderr


def test_a_signal_to_one_rank_after_the_last_step_stops_all():
    done = job(2, SCRIPT, "late", 7, "cpu")
    assert [done.stdout.count(f"rank {i} stops by signal 15") for i in (0, 1)] == [1, 1]


def test_ctrl_c_before_the_run_ends_all_without_a_word(capsys):
    codes = []
    alone = SimpleNamespace(rank=0, size=1, Abort=codes.append, allgather=lambda a: [a])
    alone.Split_type = lambda kind: alone
    ranks = Ranks(alone)

    def task():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ranks.run(task)
    assert codes == [130]
    assert capsys.readouterr().err == ""


SMALL = ("--hidden", "10", "--latent-dim", "2")


def train(n, folder, *options):
    return job(n, "-m", "scratchvae", "train", *SMALL, "--mpi", "--out", folder, *options)


def test_the_command_writes_one_run_that_goes_on(image_file, tmp_path, no_pictures):
    run, few = tmp_path / "run", ("--data", image_file, "--batch-size", "8")
    done = train(2, run, *few, "--epochs", "1")
    assert done.returncode == 0
    assert done.stdout.count("loss.png") == 1
    refused = train(2, run, *few, "--epochs", "1")
    assert refused.returncode == 2
    assert refused.stderr.count("already holds a run") == 1
    assert train(3, run, *few, "--epochs", "2", "--resume").returncode == 0
    for folder, more in ((run, ["--resume"]), (tmp_path / "whole", [])):  # in one process
        options = (*SMALL, *few, "--epochs", "3", "--out", folder, *more)
        assert cli.main(["train", *map(str, options)]) == 0
    columns = [0, 1, 2, 3, 4, 5, 6]
    rows = [
        np.loadtxt(f / "metrics.csv", delimiter=",", skiprows=1, usecols=columns)
        for f in (run, tmp_path / "whole")
    ]
    np.testing.assert_allclose(*rows, rtol=1e-5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_ranks_at_the_same_step(image_file, tmp_path, number):
    run, metrics = tmp_path / "run", tmp_path / "run" / "metrics.csv"
    few = ("--data", image_file, "--hidden", "10", "--latent-dim", "2", "--mpi", "--out", run)
    command = ["-m", "scratchvae", "train", *few, "--epochs", "1000000"]
    with subprocess.Popen(
        [MPIEXEC, "-n", "2", sys.executable, *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENV,
    ) as process:  # fmt: skip
        while not metrics.exists():  # the first epoch has ended
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
    assert "saved in" in err
    epochs = len(metrics.read_text().splitlines()) - 1
    more = ("--epochs", str(epochs + 1))
    assert train(2, run, "--resume", *more).returncode == 0
    assert train(2, tmp_path / "straight", "--data", image_file, *more).returncode == 0
    one, two = ((f / "checkpoint.npz").read_bytes() for f in (run, tmp_path / "straight"))
    assert one == two


def test_what_goes_wrong_on_one_rank_later_ends_all(tmp_path):
    """Only rank 0 writes, and learns that it cannot when the others wait for it already."""
    (tmp_path / "file").write_text("")
    done = train(2, tmp_path / "file" / "run", "--epochs", "1")
    assert done.returncode != 0
    assert "cannot be written" in done.stderr
