"""The detector retrained on pseudo ground truth, with RoI drop."""
