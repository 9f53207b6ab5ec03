"""Checks of gradients that come in another form than a pair of functions: each becomes one."""
