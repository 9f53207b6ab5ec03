"""The commands and their options, from the parser itself, in the place of a mark in a page."""

from scratchvae.cli.parser import parser

MARK = "<!-- the commands stand here on the site -->"


def argument(action):
    """How an argument is written: "--beta BETA", "RUN"."""
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    choices = "|".join(map(str, action.choices or ()))
    metavar = action.metavar or choices or action.dest.upper()
    value = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if action.nargs == "?":
        value = f"[{value}]"
    if not action.option_strings:
        return value
    return f"{', '.join(action.option_strings)} {value}"


def tables(command):
    for group in command._action_groups:
        actions = [a for a in group._group_actions if a.dest != "help"]
        if actions:
            yield f"| {group.title} | |\n|---|---|"
            for action in actions:
                written = argument(action).replace("|", r"\|")
                yield f"| `{written}` | {action.help} |"
            yield ""


def markdown():
    """A section for each command."""
    commands = parser()._subparsers._group_actions[0].choices
    for name, command in commands.items():
        yield f"## {name}\n\n{command.description}\n"
        yield f"```sh\n{command.epilog.removeprefix('example: ')}\n```\n"
        yield from tables(command)


def fill(app, docname, source):
    source[0] = source[0].replace(MARK, "\n".join(markdown()))


def setup(app):
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
