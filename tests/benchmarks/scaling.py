"""The time of a step on 1 to 1,024 ranks, from a model of the messages and measured compute.

    python tests/benchmarks/scaling.py [MS_OF_AN_EXAMPLE MS_OF_ADAM MS_OF_THE_REST]

A step of b examples takes b c + d + f on one rank: c is the cost of an example, d that of Adam, and
f what the calls take anyway. Of p ranks, each has its part of the examples and of Adam. Adding n
bytes of gradients in slices, and gathering those of the parameters, take together

    2 log2(p) a + 2 (p - 1)/p n / w

with the latency a and the bandwidth w of a link (Thakur, Rabenseifner & Gropp, "Optimization of
collective communication operations in MPICH", 2005). The defaults are those of a BLAS of one
thread, rounded from `profile_step.py` with batches of 128 and 2048.
"""

import sys
from math import log2

LINKS = {
    "1 Gb/s, 50 us": (50e-6, 125e6),
    "10 Gb/s, 20 us": (20e-6, 1.25e9),
    "100 Gb/s, 2 us": (2e-6, 12.5e9),
}
RANKS = (1, 2, 4, 16, 64, 256, 1024)


def exchange(n, p, latency, bandwidth):
    return 2 * log2(p) * latency + 2 * (p - 1) / p * n / bandwidth


def speedup(p, batch, n, example, adam, rest, link):
    """How many times as many examples a second as one rank has, for a global batch."""
    shared = batch * example + adam
    return (shared + rest) / (shared / p + rest + exchange(n, p, *link))


def main(example, adam, rest):
    for name, n, scale in (
        ("this model, 2.7 MB", 2.7e6, 1),
        ("a hundred times as many parameters", 2.7e8, 100),
    ):
        for batch in (512, 8192, 131072):
            print(f"\n{name}; global batch {batch:,}\n")
            print("| link |", *(f"{p} |" for p in RANKS))
            print("|---|" + "---|" * len(RANKS))
            for label, link in LINKS.items():
                row = (
                    f"{speedup(p, batch, n, scale * example, scale * adam, rest, link):.1f} |"
                    if p <= batch
                    else "|"
                    for p in RANKS
                )
                print(f"| {label} |", *row)


if __name__ == "__main__":
    main(*(float(a) / 1e3 for a in sys.argv[1:4] or ("0.033", "1.4", "0.4")))
