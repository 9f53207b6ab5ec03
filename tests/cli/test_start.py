"""The start of a command: what it must not load, and `--threads`, which the BLAS reads as it loads.

Each command here is a process of its own, where nothing has been imported before.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import refused

ROOT = Path(__file__).parents[2]
LOADED = """
import sys
from scratchvae.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("loaded", *sys.modules)
"""
THREADS = """
import sys
from scratchvae.cli import main
print("code", main(sys.argv[1:]))
from threadpoolctl import threadpool_info
print("threads", *(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"))
"""


def last_line(code, argv, folder=ROOT, **env):
    """The words of the last line that the code prints, after the first."""
    command = [sys.executable, "-c", code, *map(str, argv)]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("argv", [["--help"], ["--version"], [], ["trian"], ["--data", "x"]])
def test_help_and_errors_of_the_line_load_no_numpy_and_no_room(argv):
    loaded = last_line(LOADED, argv)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("scratchvae.")}
    assert rooms == {"cli", "errors", "files", "gradcheck", "startup", "version"}
    assert "numpy" not in loaded


def test_the_name_of_a_command_is_completed_without_numpy(tmp_path):
    pytest.importorskip("argcomplete", reason="argcomplete is not installed")
    env = {"_ARGCOMPLETE": "1", "COMP_LINE": "scratchvae tr", "COMP_POINT": "13"}
    env |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "found"), "_ARGCOMPLETE_IFS": "\n"}
    # argcomplete leaves by os._exit, so what is loaded is seen in the log of the imports
    command = [sys.executable, "-X", "importtime", "-m", "scratchvae"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=True
    )
    assert (tmp_path / "found").read_text().split() == ["train", "traverse"]
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "scratchvae.cli.options" in loaded
    assert "numpy" not in loaded


@pytest.mark.parametrize("planted", ["numpy", "scratchvae.data.load"])
def test_an_import_that_is_planted_is_found(tmp_path, planted):
    shutil.copytree(
        ROOT / "scratchvae", tmp_path / "scratchvae", ignore=shutil.ignore_patterns("__pycache__")
    )
    options = tmp_path / "scratchvae/cli/options.py"
    text = options.read_text()
    options.write_text(text.replace("import argparse\n", f"import argparse\nimport {planted}\n", 1))
    assert planted in last_line(LOADED, ["--help"], tmp_path)


def test_threads_are_those_that_the_linear_algebra_uses(image_file, tmp_path):
    pytest.importorskip("threadpoolctl")
    run = tmp_path / "run"
    train = ["train", "--data", image_file, "--latent-dim", 2, "--hidden", 8, "--out", run]
    two = str(min(2, os.cpu_count()))  # OpenBLAS takes no more than there are cores

    def in_use(argv, before):
        found = last_line(THREADS, argv, OPENBLAS_NUM_THREADS=before, MPLBACKEND="agg")
        if not found:
            pytest.skip("threadpoolctl does not know the BLAS of this NumPy")
        return found

    assert in_use([*train, "--epochs", 1, "--threads", 1], "2") == ["1"]
    assert "threads" not in json.loads((run / "config.json").read_text())
    assert in_use([*train, "--epochs", 2, "--resume", "--threads=2"], "1") == [two]
    assert in_use(["evaluate", run, "--threads", 1], "2") == ["1"]
    assert in_use(["encode", run, "--threads", 9, "--threads", 1], "2") == ["1"]
    assert in_use(["evaluate", run], "2") == [two]


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "encode", "anomaly", "verify"])
@pytest.mark.parametrize("n", ["0", "-1", "1.5", "two", ""])
def test_a_number_of_threads_that_is_none_is_refused(capsys, command, n):
    run = [] if command in ("train", "verify") else ["run"]
    refused(capsys, [command, *run, f"--threads={n}"], "--threads", "a whole number >= 1 is needed")


def test_threads_that_come_too_late_are_refused(capsys, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    refused(capsys, ["verify", "--threads", "3"], "--threads 3 has no effect", "NumPy is loaded")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
