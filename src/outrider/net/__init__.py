"""The network: sockets and names, no rules. Nothing here decides what becomes of a message.

`site` where mail goes and whence, `settings` the knobs, `dns` from a domain to its hosts, `dial` one TCP connection,
`tls` the contexts, `certificate` whom one names, `smtp_talk` drives `wire.smtp_client` over a socket, `dialler` a
connection to one of a site's hosts, `pool` connections per source and site, reserved and reused,
`simulated` the way to the built-in simulator, `selfsigned` a certificate for receivers of our own.
"""
