"""Lets `python -m tinyreader` be the command `tinyreader`."""

from tinyreader.cli import main

if __name__ == "__main__":
    main()
