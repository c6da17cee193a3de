"""Networks only: no data, no training."""
