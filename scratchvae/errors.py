"""The two ways in which a run can be refused or stopped; the command line prints either as one line."""


class InputError(ValueError):
    """What was given cannot be used. The message says what was wrong and what to do, in one sentence."""


class NonFiniteError(ArithmeticError):
    """Training met a NaN or an infinity. The message names the epoch, the step and the first tensor with one."""
