"""Doubles, peers and tools for tests and benchmarks. Nothing shipped imports them, except the `outrider sink` command.

Doubles: `clock`, `virtual_loop`, `dns` (also a real server on loopback), `slots`, `engine`, `contentbook`. Peers:
`peer` scripted, `http_peer` the same for HTTP, `sink` counting (with `sink_talk`, `sink_client`, `tally`), `zone` names
by the ten thousand, `limiter` a provider with a limit, `junkfilter` a real rspamd. Files: `countries` where addresses
are. Rooms: `postgres` a real database, `mailroom` and `queueroom` rows in it, `engineroom` the engine on it,
`templateroom` the services of templates, `templates` templates for tests, `fates` mail with random fates in the log,
`hookroom` webhooks on it, `gateroom` gates alone, `delivery` one mail over the wire.
The whole program: `program` (with `commands`), `web`, `api` a caller of /v1, `readers` of its mail, `usage`, `load`
(with `load_client`), `retries`.

The simulation: `simplan` what a seed decides, `simulation` plays it with `simstore` and `simdatabase` (of it,
`simaddresses`, `simguards`), `simnet`, `simledger`, writes it down in `simstory`; `simwatch` looks on, `simcheck`
judges.
"""
