"""What operators see. Nothing here decides.

`log` events with keys, redacted, to stderr; `metrics` Prometheus, declared once, shared by the processes of a node
through files; `settings` the knobs of the log.
"""
