"""`train --workers N` looks like one process: its output, signals, exit code and folder."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.command_line import refused
from support.interruptions import training_process
from support.run_folders import contents, metrics_but_seconds

from scratchvae import cli, startup
from scratchvae.cli import workers
from scratchvae.cli.settings import DEFAULTS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for processes")
LIMIT = 60  # seconds, after which a job counts as hanging
TRAIN = (sys.executable, "-m", "scratchvae", "train", "--hidden", "8", "--latent-dim", "2")
HANGUP = pytest.param(
    signal.SIGHUP,
    marks=pytest.mark.skipif(
        signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="SIGHUP is ignored, as by nohup"
    ),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, HANGUP)


def run(*command):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=LIMIT, check=False
    )


@pytest.fixture(scope="module")
def mpi():
    """mpiexec. Some sandboxes let no MPI start, whoever asks for it."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    if workers.mpiexec() is None:
        pytest.skip("there is no mpiexec")
    code = "import sys; from mpi4py import MPI; sys.exit(MPI.COMM_WORLD.size != 2)"
    done = run(workers.mpiexec(), "-n", 2, sys.executable, "-c", code)
    if done.returncode:
        pytest.skip(f"two ranks of MPI do not start here: {done.stderr[:200]}")
    return workers.mpiexec()


@pytest.fixture
def endless(mpi, image_file, tmp_path):
    """A run of two workers without end, whose third epoch has been printed."""
    process = training_process(image_file, tmp_path / "run", "--workers", "2")
    with process:
        yield process, tmp_path / "run"
        process.kill()
    wait_for(lambda: not processes(tmp_path))


@pytest.fixture
def instead(monkeypatch, tmp_path):
    """Install a shell script in the place of mpiexec."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")

    def install(text):
        path = tmp_path / "mpiexec"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setattr(workers, "mpiexec", lambda: str(path))

    return install


def processes(folder):
    """The state of each process that names the folder, by its pid and command."""
    lines = run("ps", "-A", "-o", "pid=,stat=,command=", "-ww").stdout.splitlines()
    found = [line.split(None, 2) for line in lines if str(folder) in line]
    return {(int(pid), command): state for pid, state, command in found if state[0] != "Z"}


def ranks(folder):
    """The state of each rank, by its pid."""
    found = processes(folder).items()
    return {pid: state for (pid, text), state in found if text.startswith(f"{sys.executable} -c")}


def wait_for(condition):
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.02)


# ------------------------------------------------------------------------------- what it leaves


def checkpoint_of(folder, *options, start=()):
    """The bytes of the checkpoint of two workers on rows whose products are worth two threads."""
    X = np.random.default_rng(0).random((384, 784)).astype(np.float32)
    np.save(folder.parent / "rows.npy", X)
    few = ("--data", folder.parent / "rows.npy", "--batch-size", 128, "--out", folder, "--quiet")
    done = run(*start, *TRAIN[:4], "--hidden", 400, *few, "--workers", 2, "--threads", 1, *options)
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "checkpoint.npz").read_bytes()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs to choose its cores")
def test_workers_of_one_thread_give_the_same_bytes_on_any_cores(mpi, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    on_one = "import os, sys; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
    on_one += "os.execv(sys.argv[1], sys.argv[1:])"
    found = [
        checkpoint_of(tmp_path / name, "--epochs", 2, start=start)
        for name, start in (("all", ()), ("one", (sys.executable, "-c", on_one)))
    ]
    assert found[0] == found[1]


def test_a_run_of_workers_resumes_exactly(mpi, tmp_path):
    straight = checkpoint_of(tmp_path / "straight", "--epochs", 3)
    checkpoint_of(tmp_path / "halves", "--epochs", 1)
    assert checkpoint_of(tmp_path / "halves", "--epochs", 3, "--resume") == straight


def test_a_checkpoint_within_an_epoch_has_the_moments_of_all_workers(mpi, tmp_path):
    """The fourth step of three an epoch."""
    whole = checkpoint_of(tmp_path / "run", "--epochs", 2, "--checkpoint-every", 4, "--keep", 9)
    (tmp_path / "later").mkdir()
    (tmp_path / "run" / "checkpoint-00000004.npz").rename(tmp_path / "later" / "checkpoint.npz")
    assert checkpoint_of(tmp_path / "later", "--epochs", 2, "--resume") == whole


def words(text):
    """The text without times and speeds."""
    return re.sub(r"\d+\.\d s +\d+ images/s", "TIME", text)


def test_the_run_is_that_of_mpiexec_and_of_one_process(mpi, image_file, tmp_path):
    def trained(name, *more, start=()):
        folder = tmp_path / name
        few = ("--data", image_file, "--epochs", 2, "--batch-size", 16, "--out", folder)
        done = run(*start, *TRAIN, *few, *more)
        assert (done.returncode, done.stderr) == (0, "")
        return words(done.stdout).replace(str(folder), "RUN"), folder

    text, two = trained("two", "--workers", 2, "--threads", 1)
    by_hand, other = trained("other", "--mpi", "--threads", 1, start=[mpi, "-n", 2])
    _, one = trained("one")
    assert text == by_hand
    assert contents(two).keys() == contents(other).keys() == contents(one).keys()
    assert (two / "config.json").read_bytes() == (one / "config.json").read_bytes()
    assert metrics_but_seconds(two) == metrics_but_seconds(other)
    left, right = contents(two), contents(other)
    for name in left.keys() - {"metrics.csv", "index.html"}:  # which say how long it took
        assert left[name] == right[name], name


def test_another_number_of_workers_goes_on(endless, image_file, capsys, no_pictures):
    process, folder = endless
    process.terminate()
    process.communicate(timeout=LIMIT)
    (folder / "checkpoint.npz").unlink()
    (folder / "checkpoint.npz").write_bytes(b"damaged")
    epochs = len(metrics_but_seconds(folder)) + 1
    go_on = ["--data", image_file, "--out", folder, "--resume", "auto", "--epochs", epochs]
    done = run(*TRAIN[:4], *go_on, "--workers", 3)
    assert done.returncode == 0
    assert done.stderr.count("\n") == done.stderr.count("warning") == 1
    assert f"\nepoch {epochs:3}/{epochs}" in done.stdout
    assert len(metrics_but_seconds(folder)) == epochs
    go_on[-1] += 1
    assert cli.main(["train", *map(str, go_on)]) == 0
    assert len(metrics_but_seconds(folder)) == epochs + 1


# ------------------------------------------------------------------------- signals, and the end


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_all_and_saves_the_run(endless, number):
    process, folder = endless
    process.send_signal(number)
    process.send_signal(number)  # an impatient user
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number
    assert re.fullmatch(
        r"\nstopped after step \d+, \d+ epochs complete; saved in .*: continue with --resume\n", err
    )
    assert (folder / "checkpoint.npz").exists()
    assert not processes(folder)


def test_ctrl_z_stops_all_until_they_go_on(endless):
    process, folder = endless
    process.send_signal(signal.SIGTSTP)
    wait_for(lambda: {state[0] for state in ranks(folder).values()} == {"T"})
    assert len(ranks(folder)) == 2
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: "T" not in {state[0] for state in ranks(folder).values()})
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT)
    assert process.returncode == 130


def test_a_killed_worker_ends_the_run_with_a_sentence(endless):
    process, folder = endless
    files = {path for pid in ranks(folder) for path in workers.shared_files(pid)}
    os.kill(max(ranks(folder)), signal.SIGKILL)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert re.fullmatch(
        r"scratchvae: error: worker [01] of 2 was killed, perhaps for lack of memory; "
        r".*/run/checkpoint.npz is kept: continue with --resume\n",
        err,
    )
    assert not processes(folder)
    assert not any(map(os.path.exists, files))  # of the MPI library's shared memory


def test_a_killed_mpiexec_ends_the_run_with_a_sentence(endless):
    process, folder = endless
    (pid,) = (pid for pid, command in processes(folder) if command.startswith(workers.mpiexec()))
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert re.fullmatch(
        r"scratchvae: error: .*mpiexec was killed; .*/run/checkpoint.npz is kept: .*\n", err
    )
    assert not processes(folder)


def test_workers_without_a_supervisor_save_the_run_and_end(endless):
    process, folder = endless
    process.kill()
    wait_for(lambda: not ranks(folder))
    assert "saved in" in process.stderr.read()


def test_a_signal_before_training_leaves_nothing(mpi, image_file, tmp_path):
    options = ("--data", image_file, "--workers", 2, "--out", tmp_path / "run")
    process = subprocess.Popen([*TRAIN, *map(str, options)], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: ranks(tmp_path))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (130, "\n")
    assert not (tmp_path / "run").exists()
    assert not processes(tmp_path)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_workers_read_the_data(mpi, tmp_path, number):
    options = ("--workers", "2", "--epochs", "1000000", "--out", str(tmp_path / "run"))
    with tempfile.TemporaryDirectory() as place:
        process = subprocess.Popen(
            [*TRAIN, *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"TMPDIR": place},
        )  # fmt: skip
        wait_for(lambda: list(Path(place).glob("scratchvae-*")))
        wait_for(lambda: not list(Path(place).glob("scratchvae-*")))  # all have connected
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number
    assert re.fullmatch(r"\n?|\nstopped .*\n", err)
    assert not processes(tmp_path)


def test_a_signal_ends_an_mpiexec_that_hangs(instead, image_file, tmp_path):
    instead(f"touch {tmp_path}/started; exec sleep {10 * LIMIT}")

    def interrupt():
        wait_for((tmp_path / "started").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    argv = ["train", "--data", image_file, "--workers", 2, "--out", tmp_path / "run"]
    assert cli.main(list(map(str, argv))) == 143


# ---------------------------------------------------------------------------------------- output


@pytest.mark.parametrize("options", [["--lr", "1e300"], ["--binarize", "static", "--labels", "3"]])
def test_an_error_is_that_of_one_process(mpi, image_file, tmp_path, options):
    few = ("--data", image_file, *options, "--quiet", "--out", tmp_path / "run")
    one, two = run(*TRAIN, *few), run(*TRAIN, *few, "--workers", 2)
    assert one.returncode == two.returncode == 2
    assert one.stderr.count("\n") == 1
    assert one.stderr == two.stderr
    assert two.stdout == ""
    assert not (tmp_path / "run").exists()


def test_an_error_of_all_workers_on_resuming_is_said_once(mpi, tmp_path):
    checkpoint_of(tmp_path / "run", "--epochs", 1)
    X = np.load(tmp_path / "rows.npy")
    X[0, 0] /= 2
    np.save(tmp_path / "rows.npy", X)
    done = run(*TRAIN[:4], "--workers", 2, "--resume", "--epochs", 2, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == done.stderr.count("trained on other data") == 1
    assert "rank" not in done.stderr


def test_what_only_workers_cannot_do_is_said_once(mpi, image_file, tmp_path):
    few = ("--data", image_file, "--workers", 2, "--detect-anomaly", "--out", tmp_path / "run")
    done = run(*TRAIN, *few)
    assert done.returncode == 2
    assert done.stderr.count("\n") == done.stderr.count("use one process") == 1
    assert not (tmp_path / "run").exists()


def test_what_fails_in_one_worker_is_said_once(mpi, image_file, tmp_path):
    """Only rank 0 writes, and ends the others, which makes MPI print more."""
    (tmp_path / "file").write_text("")
    few = ("--data", image_file, "--workers", 2, "--out", tmp_path / "file" / "run")
    done = run(*TRAIN, *few)
    assert done.returncode == 2
    assert done.stderr.count("\n") == done.stderr.count("cannot be written") == 1


def test_a_warning_is_printed_once(mpi, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{i % 7},{-999 if i == 9 else i % 5}\n" for i in range(60)))
    few = ("--data", table, "--likelihood", "gaussian", "--scale", "standard", "--epochs", 1)
    done = run(*TRAIN, *few, "--workers", 2, "--out", tmp_path / "run")
    assert done.returncode == 0
    assert done.stderr.count("-999") == done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_does_not_stop_it(mpi, image_file, tmp_path):
    options = ("--data", image_file, "--workers", 2, "--epochs", 20, "--out", tmp_path / "run")
    with subprocess.Popen(
        [*TRAIN, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(LIMIT) == 0


def test_a_terminal_shows_the_bar_and_colours(mpi, image_file, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    options = ("--data", image_file, "--workers", 2, "--epochs", 3, "--out", tmp_path / "run")
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [*TRAIN, *map(str, options)],
        stdin=terminal, stdout=terminal, stderr=terminal, env=env | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    text = b""
    while True:
        try:
            part = os.read(main, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        text += part
    os.close(main)
    assert process.wait(LIMIT) == 0
    assert re.search(rb"left +100% \|.{30,}\|", text)
    assert b"\x1b[32mtest" in text
    assert b"loss.png" in text


# ------------------------------------------------------------------------- what cannot be started


@pytest.mark.parametrize(("code", "words"), [(2, []), (9, ["of 2 was killed", "no checkpoint"])])
def test_a_job_that_was_ended_by_a_worker_has_had_its_sentence(
    instead, image_file, tmp_path, capfd, code, words
):
    """Two workers come and go without a report, as where one of them calls MPI_Abort(2)."""
    (tmp_path / "job.py").write_text(
        f"""import json, os, socket
lines = [socket.socket(socket.AF_UNIX) for rank in range(2)]
for rank, line in enumerate(lines):
    line.connect(os.environ[{workers.SOCKET!r}])
    line.sendall(json.dumps([rank, 2, os.getpid()]).encode())
    line.recv(1)
"""
    )
    instead(f"{sys.executable} {tmp_path}/job.py; exit {code}")
    argv = ["train", "--data", image_file, "--workers", 2, "--out", tmp_path / "run"]
    if words:
        refused(capfd, argv, *words)
    else:
        assert cli.main(list(map(str, argv))) == 2
        assert capfd.readouterr() == ("", "")


def test_workers_that_do_not_see_each_other(instead, image_file, tmp_path, capfd):
    instead('shift 2; "$@" & "$@"; wait')
    argv = ["train", "--data", image_file, "--workers", 2, "--out", tmp_path / "run"]
    refused(capfd, argv, "2 workers that do not see each other", "belong to different MPIs")
    assert not (tmp_path / "run").exists()


def test_an_mpiexec_that_fails_is_quoted(instead, image_file, tmp_path, capfd):
    instead('echo "-----"; echo "there is an error in the fabric"; exit 3')
    argv = ["train", "--data", image_file, "--workers", 2, "--out", tmp_path / "run"]
    refused(capfd, argv, "could not start 2 workers: there is an error in the fabric;")


@pytest.mark.parametrize(("own", "expected"), [(None, "3"), ("5", "5")])
def test_workers_share_the_cores(instead, image_file, tmp_path, monkeypatch, own, expected):
    monkeypatch.setattr(startup, "usable_cores", lambda: 7)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", own)
    instead(f'echo "$1 $2" $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS > {tmp_path}/seen; exit 3')
    argv = ["train", "--data", image_file, "--workers", 2, "--out", tmp_path / "run"]
    assert cli.main(list(map(str, argv))) == 2
    assert (tmp_path / "seen").read_text() == f"-n 2 {expected} 3\n"


def test_without_mpi_it_says_what_to_install(image_file, tmp_path, capsys, monkeypatch):
    argv = ["train", "--data", image_file, "--workers", 2, "--out", tmp_path / "run"]
    install = "pip install 'scratchvae[mpi]' mpich"
    with monkeypatch.context() as patch:
        patch.setattr(workers, "find_spec", lambda name: None)
        refused(capsys, argv, "--workers 2 needs mpi4py and mpiexec", install)
    monkeypatch.setattr(workers, "mpiexec", lambda: None)
    refused(capsys, argv, install)
    assert not (tmp_path / "run").exists()


def test_mpi4py_without_an_mpi_library(image_file, tmp_path, capsys, monkeypatch):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("")
    text = "raise RuntimeError('cannot load MPI library\\nlibmpi.so: no such file')"
    (tmp_path / "mpi4py" / "MPI.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)
    argv = ["train", "--data", image_file, "--mpi", "--out", tmp_path / "run"]
    refused(capsys, argv, "MPI needs mpi4py and an MPI library: pip install")
    for name in ("mpi4py", "mpi4py.MPI"):
        sys.modules.pop(name, None)


def test_one_worker_is_this_process(train_run, monkeypatch):
    monkeypatch.setattr(workers, "mpiexec", lambda: None)
    assert train_run("a", "--workers", "1")[0] == 0
    assert train_run("b", "--workers", "auto")[0] == 0  # of a mini-batch of 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], "a whole number >= 1 or auto is needed"),
        (["--workers", "many"], "a whole number >= 1 or auto is needed"),
        (["--workers", "2", "--mpi"], "not allowed with argument --workers"),
        (["--workers", "2", "--device", "cuda"], "--workers is for the CPU"),
        (["--workers", "9", "--batch-size", "8"], "exceeds the batch size of 8"),
    ],
)
def test_what_does_not_go_with_workers(image_file, tmp_path, capsys, options, words):
    argv = ["train", "--data", image_file, *options, "--out", tmp_path / "run"]
    refused(capsys, argv, words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("cores", "batch", "n"), [(4, 128, 4), (16, 128, 8), (4, 40, 2), (4, 8, 1), (1, 512, 1)]
)
def test_auto_leaves_each_worker_enough_rows(monkeypatch, cores, batch, n):
    monkeypatch.setattr(startup, "usable_cores", lambda: cores)
    monkeypatch.setattr(workers, "find_spec", lambda name: True)
    monkeypatch.setattr(workers, "mpiexec", lambda: "mpiexec")
    settings = DEFAULTS | {"batch_size": batch}
    assert workers.number_of_workers(startup.AUTO, settings) == n
