"""Mail as bytes: addresses, header fields, messages, signatures. Pure: no socket, no clock, no chance, no database.

`address` what people type to `local@domain`; `mailbox` an address with a name; `headers` folded, encoded
header fields and what may be in them; `mime` parts and files; `build` composes a message once and addresses it to each
recipient; `dkim` signs it; `dkim_verify` checks signatures;
`parse` cuts any message into what a page shows; `encode` writes octets in 7 bits, and makes a message of others fit the
server that is to take it: for mail that comes in by SMTP, which is not there yet.

Of mail that comes back: `verp` signs the return path it comes to; `report` says what it is, by way of `parts` (cut into
parts, bounded), `dsn` (delivery status), `bounce` and `phrases` (the same in words), `arf` (complaints);
`reported` finds the return paths in one that came to a feedback address.

What DNS says of a domain: `look` one question and its answer, `txt` strings and tag lists, `spf` records read and
merged, `spf_check` what they say of an address and cost, `dkim_record` published keys and how two differ, `dmarc`
policies, `orgdomain` which names belong together.
"""
