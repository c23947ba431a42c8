"""The command line `weaksam`: one module for each sub-command, imported when it runs."""
