"""Doubles, peers and tools for tests and benchmarks. Nothing shipped imports them, except the `outrider sink` command.

Doubles: `clock`, `virtual_loop`, `dns` (also a real server on loopback), `slots`, `engine`. Peers: `peer` scripted,
`sink` counting (with `sink_talk`, `sink_client`, `tally`), `zone` names by the ten thousand, `limiter` a
provider with a limit. Rooms: `postgres` a real database, `mailroom` and
`queueroom` rows in it, `engineroom` the engine on it, `gateroom` gates alone, `delivery` one mail over the wire. The
whole program: `program`, `web`, `api` a caller of /v1, `usage`, `load` (with `load_client`), `retries`.

The simulation: `simplan` what a seed decides, `simulation` plays it with `simstore` and `simdatabase` (of it,
`simaddresses`, `simguards`), `simnet`, `simledger`, writes it down in `simstory`; `simwatch` looks on, `simcheck`
judges.
"""
