"""Names of the environment variables that several parts of the project read; the service's own are its settings."""

from __future__ import annotations

API_KEY_VARIABLE = "WEAKSAM_API_KEY"  # of clients of a service
WEIGHTS_URL_VARIABLE = "WEAKSAM_WEIGHTS_URL"  # of `weaksam weights` and of `sam` by name
