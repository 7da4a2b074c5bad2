"""The network: sockets and names, no rules. Nothing here decides what becomes of a message.

`site` where mail goes, `settings` the knobs, `dns` from a domain to its hosts, `dial` one TCP connection, `tls` the
contexts, `smtp_talk` drives `wire.smtp_client` over a socket, `pool` connections per site and fail-over between hosts.
"""
