"""The name of the bug: a wrong gradient explained in terms of the right one."""
