"""The network: sockets and names, no rules. Nothing here decides what becomes of a message.

`site` where mail goes and whence, `settings` the knobs. Names: `dns` from a domain to its hosts, with `dns_query` one
question and `dns_cache` answers kept; `records` looks whether a sending domain has those it should. Addresses: `guard`
which are out there, `ours` which are this machine's.

Connections: `dial` one over TCP, `tls` the contexts, `certificate` whom one names, `smtp_talk` drives
`wire.smtp_client` over a socket, `dialler` a connection to one of a site's hosts, `pool` connections per source and
site, reserved and reused. `ledger` the gates of this node in a file that all its deliver processes map.

`http` fetches files that strangers name, `hook` calls their webhooks, `wall` keeps both out of our own network;
`rspamd` asks the operator's junk filter.

`probe` whether somebody answers, for a check-up. `simulated` the way to the built-in simulator. Certificates of
receivers of our own: `pem_files` one from files, `host_certificates` those of many hosts, `selfsigned` one of our own.
`country_file` where an address is.
"""
