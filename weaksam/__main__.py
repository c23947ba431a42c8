"""`python -m weaksam`: the command line where the console script is not on the path."""

from weaksam.cli.main import main

main()
