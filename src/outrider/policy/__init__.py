"""Decisions: from what was said to what we do about it. Pure functions; knowledge is data, not code.

`classify` (with `rules.toml`) turns an answer or a report into a verdict, `reason` is its vocabulary, `suppress` says
which addresses get no more mail, `guard` when a campaign must stop, `retry` when to try again, `shaping` (with
`shaping.toml`) what a provider takes and how we react to its replies. `rulefile` reads such files, `settings` has the
knobs. Everything here takes values and returns values: no clock, no chance, no I/O.
"""
