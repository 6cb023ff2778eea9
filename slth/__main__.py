"""``python -m slth`` is ``slth``."""

from slth.cli.app import main

if __name__ == "__main__":
    main()
