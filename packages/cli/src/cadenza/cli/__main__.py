"""`python -m cadenza.cli` is the command too."""

from .main import main

main()
