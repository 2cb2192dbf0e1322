"""For ``python -m stochbind``: the command line."""

from stochbind.cli.entry import main

if __name__ == "__main__":
    main()
