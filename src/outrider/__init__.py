"""Outrider: a self-hosted email platform.

The floors, top to bottom (imports go down only; ARCHITECTURE.md has the picture):
`cli`, `roles`, `database`, `app`, `knowledge` (rules as data), `config`, `faces`, `services`, `engine`, `store` and
`net`, `obs`, `policy`, `wire` and `mail`, `base`.
`testing` stands beside them: doubles and a sink. `client` is for programs that call us; it imports none of the others.
"""
