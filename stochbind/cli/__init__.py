"""The command line: run, extend, verify, repair, info, validate, plot, scenarios."""

from stochbind.cli.entry import app as app
from stochbind.cli.entry import main as main
