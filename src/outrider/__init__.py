"""Outrider: a self-hosted email platform.

The floors, top to bottom (imports go down only; ARCHITECTURE.md has the picture):
`cli`, `web_role`, `app`, `config`, `faces`, `services`, `engine`, `store` and `net`, `obs`, `policy`, `wire` and
`mail`, `base`. `testing` stands beside them: doubles and a sink.
"""
