"""The machinery of `make bench`: its page, its first table, its processes. Nothing is timed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import bench
from benchmarks.bench import Failed, Row, Worker, verdict

BENCHMARKS = Path(bench.__file__).parent
MUST, AIM = (None, 1.15, 1.05), (None, 1.0, 1.0)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


def row(*measured, must=MUST, aim=AIM):
    return Row("step", "a peer", "32, 128, 512", measured, must, aim)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (row(9, 1.0, 1.0), "met, and the aim"),
        (row(9, 1.154, 1.0), "met"),
        (row(9, 1.156, 1.0), "missed at 128"),
        (row(9, 1.2, 1.2), "missed at 128, 512"),
        (row(9, 9, 9, must=(None,) * 3), ""),
        (Row("start", "numpy", "", (1.7,), (1.6,), (1.4,)), "missed"),
    ],
)
def test_a_verdict_is_that_of_the_digits_that_are_shown(of, said):
    assert verdict(of) == said


def test_the_first_table_has_targets_and_results():
    text = bench.summary([row(2, 1.1, 1), Row("start", "numpy", "", (1.7,))])
    goals = "-, 1.15, 1.05 | -, 1.00, 1.00"
    assert text.splitlines()[2:] == [
        f"| step | a peer | 32, 128, 512 | {goals} | **2.00, 1.10, 1.00** | met |",
        "| start | numpy |  |  |  | **1.70** |  |",
    ]


def test_a_step_is_compared_with_each_peer_and_the_fastest_of_each_batch(monkeypatch):
    monkeypatch.setattr(bench, "CORES", 2)
    times = dict(zip(bench.PEERS, ([4], [3], [2], [8]), strict=True))
    found = {128: {"workers-2": [1, 2, 99], **times}, 512: {"workers-2": [2], **times}}
    found[512] |= {"jax_jit": [1]}
    rows = list(bench.step_rows((128, 512), "workers-2", found))
    assert [r.measured for r in rows] == [(1, 2), (0.5, 0.5), (2 / 3, 2 / 3), (1, 1), (0.25, 2)]
    assert rows[0].must == (1.15, 1.05)
    assert rows[1].must == (0.80, 0.92)
    assert {r.must for r in rows[2:]} == {(None, None)}
    monkeypatch.setattr(bench, "CORES", 16)
    rows = list(bench.step_rows((128, 512), "workers-2", found))
    assert {r.must for r in rows} == {(None, None)}, "targets are of as many workers as cores"


def test_new_figures_leave_what_is_written_by_hand():
    page = bench.PAGE.read_text()
    once = bench.written(page, "| first |", "### More")
    assert bench.written(once, "| first |", "### More") == once
    top, by_hand = once.split(bench.SUMMARY[1])
    assert top == f"# Speed\n\n{bench.SUMMARY[0]}\n\n| first |\n\n"
    assert by_hand.endswith(f"{bench.DETAILS}\n\n### More\n")
    between = page.split(bench.SUMMARY[1])[1].split(bench.DETAILS)[0]
    assert by_hand.split(bench.DETAILS)[0] == between
    assert "## On a GPU" in between


def test_a_worker_takes_steps_when_it_is_asked_to(monkeypatch):
    monkeypatch.setattr(bench, "PAUSE", 0)
    with bench.workers(["scratchvae", "naive_numpy"], 2) as started:
        for worker in started.values():
            worker.steps = 3
            worker.take_turn()
            assert len(worker.times) == 1
        assert Path(started["scratchvae"].note) == bench.ROOT / "scratchvae"
    assert [worker.process.returncode for worker in started.values()] == [0, 0]


def test_ranks_take_steps_together():
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    probe = ("mpiexec", "-n", "2", sys.executable, "-c", "from mpi4py import MPI")
    try:
        done = subprocess.run(probe, capture_output=True, env=os.environ | {"PATH": path})
    except FileNotFoundError:
        pytest.skip("there is no mpiexec")
    if done.returncode:
        pytest.skip("two ranks of MPI do not start here")
    with bench.workers(["workers-2"], 3) as started:
        worker = started["workers-2"]
        assert worker.measure(2) > 0
        assert worker.measure(1) > 0
    assert worker.process.returncode == 0


def test_figures_of_another_checkout_are_not_this_ones(tmp_path):
    with pytest.raises(Failed, match="imports"):
        Worker(f"scratchvae@{tmp_path}", 2)


def test_a_contender_that_fails_is_reported(capfd):
    with pytest.raises(Failed, match=r"worker\.py nobody 2 ended"):
        Worker("nobody", 2)
    with pytest.raises(Failed, match=r"`-c import nothing_of_this_name` failed"):
        bench.run(sys.executable, "-c", "import nothing_of_this_name")


def test_a_part_that_fails_leaves_the_others(monkeypatch, tmp_path, capsys):
    def fails(a):
        """Something"""
        raise Failed("there is none")

    def works(a):
        """Another thing"""
        return [Row("start", "numpy", "", (1.7,))], "details"

    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\n{''.join(bench.SUMMARY)}\n\nhand\n\n{bench.DETAILS}")
    monkeypatch.setattr(bench, "PAGE", page)
    monkeypatch.setattr(bench, "PARTS", (fails, works))
    monkeypatch.setattr(bench, "machine", lambda: "a machine")
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 1
    for text in ("| **1.70** |", "Not measured: something.", "Not measured: there is none."):
        assert text in page.read_text()


@LINUX
def test_busy_processes_end_with_their_block():
    alone = bench.family(os.getpid())
    with bench.busy(2):
        assert len(bench.family(os.getpid())) == len(alone) + 2
    assert bench.family(os.getpid()) == alone


@LINUX
def test_the_memory_of_a_command_is_that_of_all_its_processes():
    child = "import time; a = bytearray(b'1') * 40_000_000; time.sleep(0.5)"
    two = (
        "import subprocess, sys; command = sys.executable, '-c', sys.argv[1]; "
        "found = [subprocess.Popen(command) for _ in range(2)]; [p.wait() for p in found]"
    )
    own, whole = bench.memory_of(sys.executable, "-c", two, child)
    assert 38 < own < 76 < whole


def test_the_profile_knows_what_a_step_calls():
    command = [sys.executable, BENCHMARKS / "profile_step.py", "2", "3"]
    env = bench.environment(bench.ROOT)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    labels = [line[:20].strip() for line in done.stdout.splitlines()]
    assert labels[0] == "the step"
    assert labels[-1] == "the rest"
    assert {"loss, forward", "loss, backward", "Adam", "noise"} <= {*labels}
