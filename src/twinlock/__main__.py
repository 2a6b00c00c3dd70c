"""``python -m twinlock``: the command line, where no script is on the path."""

from twinlock.cli.main import run

run()
