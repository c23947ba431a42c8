"""The running service: admission, the active bundle, its life cycle and the server."""
