"""`train --workers N`: processes on this machine that split each mini-batch over MPI.

The command becomes a supervisor. It starts N workers, each the same command, under the `mpiexec` of
this environment, and gives each its share of the cores for the linear algebra. A worker connects to
the supervisor through a socket and takes over its standard output and error, so that a terminal, a
file and a pipe see what one process would write. Output of mpiexec and the MPI library is hidden.
The supervisor passes signals to the worker of rank 0, and exits with its exit code.
"""

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import IO, Any, cast

from .. import startup
from ..errors import InputError
from ..files.run_folder import candidates
from ..train.signals import SIGNALS, handling

INSTALL = f"{sys.executable} -m pip install 'scratchvae[mpi]' mpich"
LEAST_ROWS = 16  # of a mini-batch, that `auto` leaves to each worker
SOCKET = "SCRATCHVAE_WORKERS_SOCKET"  # the variable that tells a process that it is a worker
GRACE = 10.0  # seconds after a signal in which another one ends nothing
PATIENCE = 5.0  # seconds that the job may take to end after rank 0 has
START = "import sys; sys.path[:] = {}; from scratchvae.cli import main; sys.exit(main())"
# Open MPI binds each of two ranks to one core, and refuses more ranks than cores
OPEN_MPI = {
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}
HYDRA = {"HYDRA_LAUNCHER": "fork", "HYDRA_RMK": "user"}  # this machine, in a cluster's job too


# ------------------------------------------------------------------------------- the supervisor


def number_of_workers(wanted: int | str, settings: dict[str, Any]) -> int:
    """How many workers to start for these settings. Raises InputError if it cannot."""
    batch = settings["batch_size"]
    most = max(1, min(startup.usable_cores(), batch // LEAST_ROWS))
    n = most if wanted == startup.AUTO else int(wanted)
    if settings["device"] != "cpu":
        raise InputError(
            f"--workers is for the CPU, but this run uses {settings['device']}: leave it out, or "
            "start one rank per GPU with mpiexec and --mpi"
        )
    if n > batch:
        raise InputError(f"--workers {n} exceeds the batch size of {batch}: lower it")
    if n > 1 and not hasattr(socket, "AF_UNIX"):
        raise InputError("--workers needs Linux or macOS: use mpiexec and --mpi")
    if n > 1 and (find_spec("mpi4py") is None or mpiexec() is None):
        raise InputError(f"--workers {wanted} needs mpi4py and mpiexec: {INSTALL}")
    return n


def mpiexec() -> str | None:
    """The mpiexec of this Python's environment, or else the one on PATH."""
    return shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")


def shared_files(pid: int) -> set[str]:
    """The files of /dev/shm that a process maps; empty without /proc."""
    with suppress(OSError), open(f"/proc/{pid}/maps") as lines:
        return {line.split()[-1] for line in lines if " /dev/shm/" in line}
    return set()


def supervise(argv: Sequence[str], n: int, folder: Path) -> int:
    """Run the command in n workers; its exit code. Raises InputError if a worker dies."""
    with ExitStack() as stack:
        place = tempfile.mkdtemp(prefix="scratchvae-")
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        door = stack.enter_context(socket.socket(socket.AF_UNIX))
        try:
            door.bind(os.path.join(place, "socket"))
        except OSError as error:
            raise InputError(f"{place}: {error}; choose another TMPDIR") from None
        door.listen(n)
        job = Job(argv, n, door)
        stack.callback(job.kill)
        stack.enter_context(handling(job.pass_on))
        stack.enter_context(handling(job.pause, [signal.SIGTSTP]))
        job.watch()
    return job.exit_code(folder)


class Job:
    """The workers of a run and their mpiexec, as the supervisor sees them."""

    def __init__(self, argv: Sequence[str], n: int, door: socket.socket) -> None:
        self.n, self.door = n, door
        self.started = 0
        self.pids: dict[int, int] = {}  # by rank: those that run
        self.codes: dict[int, int] = {}  # by rank: those that have reported their end
        self.lost: list[int] = []  # ranks that have ended without a report, before all others
        self.apart = False  # whether the workers do not see each other
        self.signal, self.asked = 0, 0.0  # the last signal, and when the first came
        self.files: set[str] = set()  # of the MPI library's shared memory
        self.text = b""  # the end of what mpiexec and the MPI library have printed
        blas = startup.threads(max(1, startup.usable_cores() // n))
        self.process = subprocess.Popen(  # noqa: S603 - the user's own command, once more
            [str(mpiexec()), "-n", str(n), sys.executable, "-c", START.format(sys.path), *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=blas | OPEN_MPI | HYDRA | os.environ | {SOCKET: door.getsockname()},
            start_new_session=True,  # a terminal sends Ctrl-C to the supervisor alone
        )  # fmt: skip
        self.output = cast("IO[bytes]", self.process.stdout)

    def pass_on(self, number: int, frame: Any) -> None:
        """A signal handler: rank 0 stops the run, which stops the others at the same step.

        A signal long after the first one ends them at once: a rank may hang.
        """
        now = time.monotonic()
        if self.signal and now - self.asked > GRACE:
            return self.kill()
        self.asked = now if not self.signal else self.asked
        self.signal = number
        if 0 in self.pids:
            self._send(number, [0])
        elif not self.codes:  # while it starts
            self.process.terminate()

    def pause(self, number: int, frame: Any) -> None:
        """A signal handler: stop the workers and this process, until this process goes on."""
        self._send(signal.SIGSTOP, self.pids)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._send(signal.SIGCONT, self.pids)

    def kill(self) -> None:
        """Kill what still runs."""
        self._send(signal.SIGKILL, self.pids)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.output.close()
        until = time.monotonic() + 1.0  # the workers are no children of this process
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                while time.monotonic() < until:
                    os.kill(pid, 0)
                    time.sleep(0.005)
        for path in self.files:  # a worker that is killed leaves its own behind
            with suppress(OSError):
                os.unlink(path)

    def _send(self, number: int, ranks: Any) -> None:
        for rank in list(ranks):
            with suppress(ProcessLookupError):
                os.kill(self.pids[rank], number)

    def watch(self) -> None:
        """Let the workers in, and follow them to the end of the job."""
        limit = inf
        with ExitStack() as stack:
            sources = stack.enter_context(selectors.DefaultSelector())
            for source in (self.door, self.output):
                sources.register(source, selectors.EVENT_READ)
            while (left := limit - time.monotonic()) > 0:
                lost = []
                for key, _ in sources.select(None if left == inf else left):
                    if key.fileobj is self.door:
                        line, _ = self.door.accept()
                        stack.callback(line.close)
                        if (rank := self._admit(line)) is not None:
                            sources.register(line, selectors.EVENT_READ, rank)
                    elif key.fileobj is self.output:
                        text = os.read(self.output.fileno(), 1 << 16)
                        if not text:  # mpiexec has ended
                            return
                        self.text = (self.text + text)[-(1 << 16) :]
                    elif not self._hear(key.fileobj, key.data):
                        sources.unregister(key.fileobj)
                        lost += [key.data] * (key.data not in self.codes)
                self.lost = self.lost or lost
                if 0 in self.codes and limit == inf:  # the run has ended
                    limit = time.monotonic() + PATIENCE
                    for key in list(sources.get_map().values()):
                        if key.data:
                            self._release(key.fileobj)

    def _admit(self, line: socket.socket) -> int | None:
        """Hand stdout and stderr to a worker that has connected, and return its rank."""
        greeting = line.recv(100)
        if not greeting:  # it has died
            return None
        rank, size, pid = json.loads(greeting)
        self.apart = self.apart or size != self.n
        if self.apart or self.signal:
            line.close()  # it ends
            return None
        socket.send_fds(line, [b"1"], [1, 2])
        self.pids[rank] = pid
        self.files |= shared_files(pid)
        self.started += 1
        if self.started == self.n:  # should the supervisor be killed, it leaves no file
            shutil.rmtree(os.path.dirname(self.door.getsockname()), ignore_errors=True)
        return int(rank)

    def _hear(self, line: Any, rank: int) -> bool:
        """Read a worker's report. Returns False once the worker has ended."""
        try:
            report = line.recv(10)
        except ConnectionResetError:
            report = b""
        if not report:
            del self.pids[rank]
            return False
        self.codes[rank] = int(report)
        if rank and 0 in self.codes:
            self._release(line)
        return True

    def _release(self, line: Any) -> None:
        with suppress(OSError):
            line.sendall(b"1")

    def exit_code(self, folder: Path) -> int:
        """The exit code of the run, once the job has ended. Raises InputError if it has failed."""
        if 0 in self.codes:
            return self.codes[0]
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal:
            return 128 + self.signal
        if self.apart:
            raise InputError(
                f"{mpiexec()} started {self.n} workers that do not see each other, because mpi4py "
                "and mpiexec belong to different MPIs: put the matching mpiexec first in PATH, or "
                f"reinstall both: {INSTALL}"
            )
        if self.started < self.n:
            raise InputError(
                f"{mpiexec()} could not start {self.n} workers: {self._reason()}; mpi4py and "
                "mpiexec must belong to the same MPI"
            )
        if self.process.returncode == 2:  # a worker has printed its error, and ended the others
            return 2
        who = f"worker {self.lost[0]}" if len(self.lost) == 1 else "a worker"
        what = f"{who} of {self.n} was killed, perhaps for lack of memory"
        if self.process.returncode < 0:
            what = f"{mpiexec()} was killed"
        found = candidates(folder)
        kept = f"{found[0]} is kept: continue with --resume" if found else "no checkpoint was saved"
        raise InputError(f"{what}; {kept}")

    def _reason(self) -> str:
        """The line of the printed text that says why the job did not start."""
        lines = [line.strip(" -=.") for line in self.text.decode(errors="replace").splitlines()]
        lines = list(filter(None, lines)) or ["it printed nothing"]
        mark = "scratchvae: error: "
        for sign in (mark, "rror"):
            for line in lines:
                if sign in line:
                    return line.removeprefix(mark)
        return lines[0]


# ----------------------------------------------------------------------------------- the worker


def is_worker() -> bool:
    return SOCKET in os.environ


@contextmanager
def attached(comm: Any) -> Iterator[Callable[[int], int]]:
    """Context manager: print where the supervisor does; yields a function to report the exit code.

    Does nothing in a process without a supervisor. If the supervisor dies, rank 0 is asked to stop,
    as by SIGTERM. The others wait for the end of rank 0, which draws the pictures.
    """
    address = os.environ.pop(SOCKET, None)
    if address is None:
        yield lambda code: code
        return
    for number in SIGNALS:  # the MPI library may have installed its own, unseen by Python
        signal.signal(number, signal.getsignal(number) or signal.SIG_DFL)
    line = socket.socket(socket.AF_UNIX)
    reported = False

    def report(code: int) -> int:
        nonlocal reported
        reported = True
        with suppress(OSError):  # the supervisor is gone
            line.sendall(str(code).encode())
            if comm.rank:
                line.recv(1)
        return code

    try:
        line.connect(address)
        line.sendall(json.dumps([comm.rank, comm.size, os.getpid()]).encode())
        _, fds, *_ = socket.recv_fds(line, 1, 2)
        if not fds:
            sys.exit(2)
        # not descriptors 1 and 2, to which the MPI library writes
        sys.stdout = sys.__stdout__ = _taken_over(sys.stdout, fds[0])  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _taken_over(sys.stderr, fds[1])  # type: ignore[misc]
        if comm.rank == 0:
            threading.Thread(target=_stop_without, args=[line], daemon=True).start()
        yield report
    except KeyboardInterrupt:  # not in the run, which returns an exit code
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends this process, and so the others
        signal.raise_signal(signal.SIGINT)
    finally:
        if not reported:
            report(2)


def _taken_over(stream: Any, fd: int) -> Any:
    """A stream like this one that writes to another file descriptor."""
    buffering = 1 if os.isatty(fd) or stream is sys.stderr else -1
    return open(fd, "w", buffering=buffering, encoding=stream.encoding, errors=stream.errors)


def _stop_without(line: socket.socket) -> None:
    """Ask this process to stop, as SIGTERM does, once the other end of the line is gone."""
    with suppress(OSError):
        line.recv(1)  # nothing comes
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)  # it hangs
