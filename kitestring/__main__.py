"""Every command of the house: ``python -m kitestring --help``."""

from kitestring.cli.commands import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
