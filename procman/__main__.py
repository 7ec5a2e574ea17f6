"""``python -m procman``."""

from procman.cli.main import main

main()
