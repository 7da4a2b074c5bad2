"""The command line. Results go to stdout (tables, or JSON with --json), complaints to stderr; exit codes are sysexits'.

`main` the commands together, `session` services for one command, `output` tables and JSON, then one module per noun.
`supervisor` and `role` are `outrider serve`: the parent that starts processes, and the child that is one.
"""
