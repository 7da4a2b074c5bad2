"""Mail as bytes: addresses, header fields, messages, signatures. Pure: no socket, no clock, no chance, no database.

`address` what people type to `local@domain`; `headers` folded, encoded header fields and what may be in them;
`build` composes a message once and addresses it to each recipient; `encode` makes one of others fit the server that is
to take it; `dkim` signs it; `dkim_verify` checks signatures; `parse` cuts any message into what a page shows.

Of mail that comes back: `verp` signs the return path it comes to; `report` says what it is, by way of `parts` (cut into
parts, bounded), `dsn` (delivery status), `bounce` and `phrases` (the same in words), `arf` (complaints).
"""
