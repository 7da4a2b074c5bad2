"""What operators see. `log`: events with keys, redacted; `metrics`: Prometheus, declared once. Nothing here decides."""
