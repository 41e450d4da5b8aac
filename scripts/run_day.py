"""Trades one day: ``python -m scripts.run_day --help``."""

from kitestring.cli.run_day import main

if __name__ == "__main__":
    main()
