"""`python -m polong` and the `polong` command."""

from polong.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
