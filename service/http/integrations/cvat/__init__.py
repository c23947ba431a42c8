"""CVAT's nuclio functions: `/cvat/detector` and `/cvat/interactor`."""
