"""From an image and its tags to detections; knows nothing of HTTP."""
