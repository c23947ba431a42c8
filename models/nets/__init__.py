"""The torch networks: needed to train and to export, never to serve."""
