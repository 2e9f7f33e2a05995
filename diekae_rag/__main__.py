"""Runs the command line: ``python -m diekae_rag``."""

from diekae_rag.cli import main

if __name__ == "__main__":
    main()
