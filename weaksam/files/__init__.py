"""Files on a user's disk: image folders, tag files and atomic writes."""
