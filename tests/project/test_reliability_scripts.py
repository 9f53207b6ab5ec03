"""Faults, each a few times; `make soak` tries them as often as docs/reliability.md says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "reliability"
SCRIPTS = (
    *("kill", "disk", "interrupts", "replaced", "flips", "forged", "fuzz", "foreign", "same_bytes"),
    *("threads", "soak"),
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, fork and bounds of memory")
@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_is_lost(name):
    done = subprocess.run(
        [sys.executable, HERE / f"{name}.py", "--short"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert rows
    assert not any(lost for _, _, lost in rows)
