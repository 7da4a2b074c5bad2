"""Decisions: from what was said to what we do about it. Pure functions; knowledge is data, not code.

`classify` (with `rules.toml`) turns an answer into a verdict, `reason` is its vocabulary, `retry` says when to try
again, `shaping` (with `shaping.toml`) what a provider takes and how we react to its replies. `simulate` (with
`simulate.toml`) reads what a simulator address asks for, `behaviour` is how a receiver misbehaves. `rulefile` reads
such files, `settings` has the knobs. Everything here takes values and returns values: no clock, no chance, no I/O.
"""
