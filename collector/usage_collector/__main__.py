"""`python -m usage_collector`, and the command `usage-collector`."""

from usage_collector.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
