"""Many pairs at once: a file of pairs, random inputs for them, pytest, and mutation testing."""
