"""`python -m weaksam`: the command line if the console script is not on the path."""

from weaksam.cli.main import main

main()
