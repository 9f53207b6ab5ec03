"""`scratchvae verify`: what it prints, its exit code, and the errors that the README quotes."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from support.command_line import refused

from scratchvae import cli
from scratchvae.backend.registry import OPS
from scratchvae.verify import table

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def verified():
    """Exit code, output and reports of one run of the command."""
    reports = []

    def recorded(seed, original=table.reports):
        for pair in original(seed):
            reports.append(pair)
            yield pair

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(table, "reports", recorded)
        code = cli.main(["verify"])
    return code, out.getvalue(), reports


def test_verify_prints_every_op_and_parameter_and_passes(verified):
    code, out, _ = verified
    assert code == 0
    for op in OPS:
        assert any(line.startswith(op) and line.endswith("PASS") for line in out.splitlines()), op
    names = [name for name in table.SUBJECTS if f"\n{name}\n" in out]
    assert names == list(table.SUBJECTS)
    assert out.count("dhead_W ") == len(table.SUBJECTS)
    for finding in ("gradients after 20 steps", "KL by Monte Carlo", "the update of a step"):
        assert out.count(finding) >= 6
    assert "FAIL" not in out
    worst = float(out.split("off by ")[1].split(" ")[0])
    assert worst < 1e-7


def test_the_readmes_error_table_is_what_verify_says(verified):
    """The errors in the README bound those that are measured here."""
    measured = {"ops": 0.0, "VAE": 0.0, "IWAE": 0.0}
    for name, report in verified[2]:
        kind = "VAE" if name.startswith("vae") else "IWAE" if name in table.SUBJECTS else "ops"
        again = [f.error for f in report.findings if f.name.startswith("gradients")]
        measured[kind] = max([measured[kind], report.error, *again])
    rows = re.findall(r"^\| (?:the 17 )?(ops|VAE|IWAE)[: ].*\| below ([\de-]+) \|$",
                      README.read_text(), re.MULTILINE)  # fmt: skip
    assert len(rows) == 3
    for kind, printed in rows:
        assert measured[kind] < float(printed)


def test_verify_fails_when_a_gradient_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(table, "SUBJECTS", {"vae": table.SUBJECTS["vae"]})
    op = OPS["sigmoid"]
    wrong = op._replace(backward=lambda dy, y, *, dx=None: 1.001 * op.backward(dy, y))
    monkeypatch.setitem(OPS, "sigmoid", wrong)
    assert cli.main(["verify"]) == 1
    out, _ = capsys.readouterr()
    assert "FAIL sigmoid" in out
    assert "too large at all" in out


def test_the_seed_of_verify_reaches_the_checks(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(table, "show", lambda seed, found: seen.append(("models", seed)) or 0)
    monkeypatch.setattr(table, "show_teeth", lambda seed: seen.append(("teeth", seed)) or 0)
    check_file = "scratchvae.cli.verify.check_file"
    monkeypatch.setattr(check_file, lambda path, seed: seen.append(("file", seed)) or [])
    for options in (["--seed", "3"], ["--teeth", "--seed", "4"], ["mine.py", "--seed", "5"]):
        assert cli.main(["verify", *options]) == 0
    assert seen == [("models", 3), ("teeth", 4), ("file", 5)]
    refused(capsys, ["verify", "--seed", 2**64], "seed must be a whole number from 0 to 2**64 - 1")
    refused(capsys, ["verify", "mine.py", "--teeth"], "leave the file out")
