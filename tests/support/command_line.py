"""Calls the command line, and asserts its behaviour on errors."""

from scratchvae import cli


def go_on(folder, *options):
    return cli.main(["train", "--resume", "--quiet", "--out", str(folder), *options])


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
