"""Review of a labelling run by several people at once: a server for the page, a journal, COCO at the end."""
