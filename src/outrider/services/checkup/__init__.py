"""The check-up of a node: looks at everything that keeps mail from going out, coming back, or being believed.

`run` runs probes all at once within a deadline. Where they come from: `database` the database, its clock and the queue,
`machine` ports, disk, certificate and TLS, `content` the junk filter, `egress` the addresses that mail leaves from,
`domains` the records of sending domains, `tracking` the certificates of tracking hosts. They look; what it means is
judged by `policy.checkup_node`, `policy.checkup_egress` and `policy.blocklists`. Nothing here changes anything.
"""
