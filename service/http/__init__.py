"""HTTP: routes, request bodies, problem documents and middleware."""
