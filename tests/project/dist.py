"""Builds the sdist and the wheel into dist/, and tests the wheel outside the checkout.

    make dist

The sdist must hold what git tracks, but for the machinery of the hosting site, and no large file;
the wheel the package alone. An empty environment outside of the checkout then gets the wheel, with
dependencies in the versions of the lock, and must verify every gradient and train.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
LEFT_OUT = (".ci/", ".github/")  # of what git tracks
MADE = {"PKG-INFO"}
MOST = 600_000  # bytes of a file: data do not belong here


def call(*line, cwd=ROOT, **settings):
    print("$", *line, flush=True)
    return subprocess.run([str(word) for word in line], cwd=cwd, check=True, text=True, **settings)


def tracked():
    listed = call("git", "ls-files", stdout=subprocess.PIPE).stdout.splitlines()
    return {name for name in listed if not name.startswith(LEFT_OUT) and (ROOT / name).exists()}


def some(names):
    """The first ten of the names."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def check_sdist(path, wanted):
    """SystemExit unless the sdist holds the wanted files and no other, none of them large."""
    with tarfile.open(path) as content:
        members = [m for m in content.getmembers() if m.isfile()]
    found = {m.name.partition("/")[2]: m.size for m in members}
    if odd := sorted(found.keys() ^ (wanted | MADE)):
        sys.exit(f"{path.name} and git do not both have {some(odd)}")
    if large := [name for name, size in found.items() if size > MOST]:
        sys.exit(f"{path.name} holds large files: {', '.join(large)}")


def check_wheel(path, wanted):
    """SystemExit unless the wheel holds the package of the wanted files, and what describes it."""
    with zipfile.ZipFile(path) as content:
        found = set(content.namelist())
    described = {name for name in found if ".dist-info/" in name}
    package = {name for name in wanted if name.startswith("scratchvae/")}
    if odd := sorted((found - described) ^ package):
        sys.exit(f"{path.name} and git do not both have {some(odd)}")


def constraints(lock):
    """The versions of a lock without its hashes, which pip wants for a local wheel too."""
    return "\n".join(re.findall(r"^([\w.-]+==.*) \\$", lock, re.MULTILINE))


def try_outside(wheel):
    """Install the wheel and use it, from a folder that has nothing to do with this one."""
    env = {name: v for name, v in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        versions = here / "constraints.txt"
        versions.write_text(constraints((ROOT / "tests" / "locks" / "dev.lock").read_text()))
        call(sys.executable, "-m", "venv", "venv", cwd=here)
        binaries = here / "venv" / "bin"
        pip = (binaries / "python", "-m", "pip")
        call(*pip, "install", "--quiet", "-c", versions, wheel, cwd=here, env=env)
        where = "import scratchvae; print(scratchvae.__version__, scratchvae.__file__)"
        said = call(binaries / "python", "-c", where, cwd=here, env=env, stdout=subprocess.PIPE)
        version, file = said.stdout.split()
        if not Path(file).is_relative_to(here) or f"-{version}-" not in wheel.name:
            sys.exit(f"not the wheel that was built: {said.stdout}")
        scratchvae = binaries / "scratchvae"
        for line in (
            ("verify",),
            ("train", "--epochs", 1, "--out", "run", "--quiet"),
            ("sample", "run", "-o", "digits.png"),
        ):
            call(scratchvae, *line, cwd=here, env=env, stdout=subprocess.DEVNULL)
        if not (here / "digits.png").stat().st_size:
            sys.exit("sample drew nothing")


def main():
    shutil.rmtree(DIST, ignore_errors=True)
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST)
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    call(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    wanted = tracked()
    check_sdist(sdist, wanted)
    check_wheel(wheel, wanted)
    try_outside(wheel)
    print(f"dist: {sdist.name} and {wheel.name} hold what they should, and work")


if __name__ == "__main__":
    main()
