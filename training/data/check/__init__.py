"""What `weaksam data check` tells about a data set: its classes, its copies, and images that cannot be decoded."""
