"""What several recipes share: the line with their numbers."""

import json


def print_result(**numbers: tuple[float, float | None]) -> None:
    """The line that `make results` reads: each number with its standard error, or None."""
    pairs = {name: [float(v), None if e is None else float(e)] for name, (v, e) in numbers.items()}
    print(f"result {json.dumps(pairs)}")
