"""X-AnyLabeling's remote server: `/xanylabeling/v1/models` and `/xanylabeling/v1/predict`."""
