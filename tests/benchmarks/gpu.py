"""Measures an epoch on a GPU beside PyTorch and JAX.

    python tests/benchmarks/gpu.py [BATCH ...]
    python tests/benchmarks/gpu.py --profile BATCH    takes the step of this project apart instead

60,000 rows of 784 bytes lie on the device; an epoch shuffles them there and takes a step of the
blog post's model (784-400-32, Bernoulli, Adam) for each batch. Needs scratchvae, CuPy, torch and
jax in one environment. Each contender has a process of its own; they take turns, seven rounds.
Products are in full float32 everywhere: no TF32.
"""

import argparse
import subprocess
import sys
import time
from statistics import median

import contenders

N = 60_000
ROUNDS = 7


def data():
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (N, contenders.D), dtype=np.uint8)


def scratchvae(batch, cuda_graphs=True):
    from scratchvae import VAE
    from scratchvae.train import Trainer

    vae = VAE(latent_dim=contenders.Z, hidden=(contenders.H,), device="cuda").build(contenders.D)
    trainer = Trainer(vae, data(), batch_size=batch, cuda_graphs=cuda_graphs)
    return lambda: trainer.run(trainer.epoch + 1)


def scratchvae_launched(batch):
    return scratchvae(batch, cuda_graphs=False)


def _torch(batch, compiled=False, **adam):
    import torch

    model = contenders.torch_vae("cuda")
    loss_of = torch.compile(model, mode="reduce-overhead") if compiled else model
    optimiser = torch.optim.Adam(model.parameters(), lr=contenders.LR, **adam)
    X, total = torch.from_numpy(data()).cuda(), torch.zeros((), device="cuda")

    def epoch():
        for rows in torch.randperm(N, device="cuda").split(batch):
            if compiled:
                torch.compiler.cudagraph_mark_step_begin()
            loss = loss_of(X[rows].float().div_(255))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total.add_(loss.detach())
        return total.item()

    return epoch


def torch_eager(batch):
    return _torch(batch)


def torch_fused(batch):
    return _torch(batch, fused=True)


def torch_reduce_overhead(batch):
    return _torch(batch, compiled=True, fused=True)


def jax_jit(batch):
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    step, state = contenders.jax_step()
    X, key = jax.device_put(data()), jax.random.key(0)
    box = [state, 0]
    take = jax.jit(lambda X, order, i: X[jax.lax.dynamic_slice(order, (i,), (batch,))])

    def epoch():
        state, count = box
        order = jax.random.permutation(jax.random.fold_in(key, count), N)
        for start in range(0, N, batch):
            rows = min(start, N - batch)  # the last batch is filled up: one shape, one program
            state = step(*state, take(X, order, rows))
        box[:] = state, count + 1
        return float(state[-1])

    return epoch


CONTENDERS = (
    scratchvae, scratchvae_launched, torch_eager, torch_fused, torch_reduce_overhead, jax_jit
)  # fmt: skip


def work(name):
    """Seconds of an epoch, for each batch size that is asked for on stdin."""
    make = {f.__name__: f for f in CONTENDERS}[name]
    ready = {}
    for line in sys.stdin:
        batch = int(line)
        if batch not in ready:
            ready[batch] = make(batch)
            ready[batch]()
            ready[batch]()
        start = time.perf_counter()
        ready[batch]()
        print(time.perf_counter() - start, flush=True)


def profile(batch):
    """Where the time of a replay goes: needs torch, for its profiler."""
    import cupy
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    run = scratchvae(batch)
    run()
    (trainer,) = (cell.cell_contents for cell in run.__closure__)
    (graph, *_), _ = next(iter(trainer._graphs.graphs.values()))

    def replay(steps):
        trainer._graphs.position.fill(0)
        for _ in range(steps):
            graph.launch()
        cupy.cuda.Device().synchronize()

    replay(1)
    start = time.perf_counter()
    replay(400)
    print(f"a replay takes {1e6 * (time.perf_counter() - start) / 400:.1f} us")
    with profiler(activities=[ProfilerActivity.CUDA]) as found:
        replay(20)
    for event in sorted(found.key_averages(), key=lambda e: -e.device_time_total):
        print(f"{event.device_time_total / 20:8.2f} us {event.count / 20:6.1f} x {event.key[:80]}")


def main(batches):
    names = [f.__name__ for f in CONTENDERS]
    workers = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--work", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in names
    }  # fmt: skip

    def ask(name, batch):
        workers[name].stdin.write(f"{batch}\n")
        workers[name].stdin.flush()

    def answer(name):
        return float(workers[name].stdout.readline())

    for batch in batches:  # all make ready at once, before anything is measured
        for name in names:
            ask(name, batch)
        for name in names:
            answer(name)
    print(f"| batch | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for batch in batches:
        times = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                ask(name, batch)
                times[name].append(1e6 * answer(name) / -(-N // batch))
        cells = [f"{median(t):.0f} ({min(t):.0f} to {max(t):.0f})" for t in times.values()]
        ratios = [f"{median(times[names[0]]) / median(t):.2f}" for t in times.values()]
        print(f"| {batch} | {' | '.join(cells)} |")
        print(f"| this project over it | {' | '.join(ratios)} |")
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    batches = {"nargs": "*", "default": [32, 128, 512, 2048], "metavar": "BATCH"}
    parser.add_argument("batches", type=int, help="rows of a step", **batches)
    parser.add_argument("--profile", type=int, metavar="BATCH", help="where a replay's time goes")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.work:
        work(a.work)
    elif a.profile:
        profile(a.profile)
    else:
        main(a.batches)
