"""For ``python -m stochbind.cli``."""

from stochbind.cli.entry import main

if __name__ == "__main__":
    main()
