"""Logs in to Kite for the day: ``python -m scripts.login_kite --help``."""

from kitestring.cli.login_kite import main

if __name__ == "__main__":
    main()
