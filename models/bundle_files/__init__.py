"""The files of a bundle: how they are read, checked and written."""
