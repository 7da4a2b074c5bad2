"""Doubles, peers and tools for tests and benchmarks. Nothing shipped imports them, except the `outrider sink` command.

Doubles: `clock`, `dns` (also a real server on loopback), `engine`. Peers: `peer` scripted, `sink` counting (with
`sink_talk`, `sink_client`, `tally`). The whole program: `program`, `postgres`,
`web`, `usage`, `load` (with `load_client`).
"""
