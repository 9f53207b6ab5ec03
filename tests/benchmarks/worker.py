"""Times one contender: `python worker.py NAME BATCH`, then a number of steps a line on stdin.

For each line, takes so many steps and prints the seconds of one, their mean; between lines it
waits, and takes no time from others. The first line that it prints is what the contender notes of
itself: it is ready. The contender "workers-N" is N ranks under mpiexec, which share the cores.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from contenders import CONTENDERS

WARM_UP = 20  # steps


def in_ranks(n, batch):
    """The exit status of n ranks, which have this process's stdin and stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    mpiexec = shutil.which("mpiexec", path=path)
    if mpiexec is None:
        raise SystemExit("there is no mpiexec: pip install mpi4py mpich")
    # run by mpi4py, an exception of one rank ends them all
    rank = (sys.executable, "-m", "mpi4py", __file__, "rank", batch)
    threads = {"OPENBLAS_NUM_THREADS": str(max(1, os.cpu_count() // n))}
    return subprocess.call([mpiexec, "-n", str(n), *rank], env=os.environ | threads)


def asked(comm):
    """The numbers on stdin. Rank 0 reads and sends them; the others wait without spinning."""
    if comm is None or comm.rank == 0:
        others = range(1, comm.size if comm else 1)
        for line in sys.stdin:
            for other in others:
                comm.send(int(line), other)
            yield int(line)
        for other in others:
            comm.send(None, other)
        return
    while True:
        while not comm.iprobe(source=0):
            time.sleep(0.02)
        steps = comm.recv(source=0)
        if steps is None:
            return
        yield steps


def main(name, batch):
    if name.startswith("workers-"):
        raise SystemExit(in_ranks(int(name.removeprefix("workers-")), batch))
    comm = None
    if name == "rank":
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    reports = comm is None or comm.rank == 0
    step = CONTENDERS[name](int(batch))
    for _ in range(WARM_UP):
        step()
    if reports:
        print(getattr(step, "note", ""), flush=True)
    for steps in asked(comm):
        if comm:
            comm.Barrier()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        if reports:
            print((time.perf_counter() - start) / steps, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
