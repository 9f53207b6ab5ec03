"""Calls the command line, and asserts its behaviour on errors."""

import pytest

from scratchvae import cli
from scratchvae.pictures import gallery

SMALL = ("--latent-dim", "2", "--hidden", "8", "--epochs", "2", "--batch-size", "16", "--quiet")


def go_on(folder, *options):
    return cli.main(["train", "--resume", "--quiet", "--out", str(folder), *options])


def runs_of(root, data, kinds):
    """A small run of each kind of model, without pictures: the folders, by kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "leave", lambda *a: ({}, {}))
        for kind in kinds:
            argv = ["train", "--data", data, "--model", kind, *SMALL, "--out", root / kind]
            assert cli.main([str(a) for a in argv]) == 0
    return {kind: root / kind for kind in kinds}


def refused(capsys, argv, *words):
    """The command line refuses with one line on stderr, exit code 2, and nothing on stdout."""
    capsys.readouterr()
    assert cli.main([str(a) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("scratchvae: error: ")
    for word in words:
        assert word in err
