"""Dependencies and workflows: locked by hash, pinned by commit, versions stated once."""

import re
import tomllib
from pathlib import Path

import pytest

import scratchvae

ROOT = Path(__file__).parents[2]
LOCKS = {path.stem: path for path in sorted((ROOT / "tests" / "locks").glob("*.lock"))}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OF = {"dev": ["dev"], "docs": ["docs"], "tools": ["tools"], "lowest": ["test", "backend"]}


def direct(*groups):
    """Dependencies by name, each with its oldest release, of these groups."""
    found = {}
    for group in groups:
        for item in PROJECT["dependency-groups"][group]:
            if isinstance(item, dict):
                found |= direct(item["include-group"])
            else:
                name, oldest = re.match(r"([\w.-]+)(?:>=([\d.]+))?", item).groups()
                found[name] = oldest
    return found


def own():
    return dict(
        re.match(r"([\w.-]+)>=([\d.]+)$", d).groups() for d in PROJECT["project"]["dependencies"]
    )


def locked(text):
    """The requirements of a lock: name, version and hashes of each."""
    text = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
    return [
        (*re.match(r"([\w.-]+)==([\w.]+)(?: ; [^\\\n]+)?", block).groups(),
         re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))
        for block in re.split(r"\n(?=\S)", text.strip())
    ]  # fmt: skip


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_each_file_by_its_hash_and_no_place_to_get_it(name):
    assert LOCKS.keys() == OF.keys()
    text = LOCKS[name].read_text()
    requirements = locked(text)
    assert len(requirements) > 40
    assert all(hashes for _, _, hashes in requirements)
    assert text.count("--hash=") == sum(len(hashes) for _, _, hashes in requirements)
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash=)", text, re.MULTILINE)
    assert LOCKS[name].stat().st_size < 600_000


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_it_is_made_of(name):
    """Else `make lock` was forgotten."""
    wanted = direct(*OF[name]) | ({} if name == "tools" else own())
    assert wanted.keys() <= {name for name, _, _ in locked(LOCKS[name].read_text())}


def test_the_lowest_lock_has_the_oldest_that_the_project_says_it_supports():
    found = {name: version for name, version, _ in locked(LOCKS["lowest"].read_text())}
    for name, oldest in own().items():
        assert re.fullmatch(rf"{re.escape(oldest)}(\.0)*", found[name]), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_can_do_little_and_runs_what_it_names(path):
    text = path.read_text()
    actions = re.findall(r"uses: (.*)", text)
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    assert re.findall(r"^permissions:\n((?:  .*\n)+)", text, re.M) == ["  contents: read\n"]
    assert text.count("permissions:") == 1
    assert text.count("persist-credentials: false") == text.count("actions/checkout@") > 0
    assert "secrets" not in text
    makefile = (ROOT / "Makefile").read_text()
    targets = {*re.findall(r"target: (\[?[\w-]+)", text)}
    assert {"[test", "lint", "dist", "audit", "test-lowest", "test-newest"} <= targets
    for target in targets:
        assert re.search(rf"^{target.strip('[')}:", makefile, re.MULTILINE), target


def test_there_is_a_workflow():
    assert WORKFLOWS


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", scratchvae.__version__)
    for name in ("pyproject.toml", "CITATION.cff", "README.md", "docs/conf.py", "Makefile"):
        for line in (ROOT / name).read_text().splitlines():
            if re.match(r"(__)?version(__)?\s*[:=]", line):
                assert scratchvae.__version__ not in line, name
