"""The backend on Triton Inference Server: endpoints, circuit breaker, shared memory."""
