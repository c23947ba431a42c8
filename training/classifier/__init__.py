"""The CAM classifier: training, losses and reports."""
