"""`python -m scratchvae` is the command `scratchvae`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
