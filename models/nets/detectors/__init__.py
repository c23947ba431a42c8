"""Networks that find objects: the R-CNN, and those that ask with queries; what they learn from and give."""
