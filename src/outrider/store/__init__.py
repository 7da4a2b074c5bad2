"""All SQL and nothing but SQL: the one place that knows PostgreSQL.

`embedded` the server that comes with the package, with `cluster` its files, `postmaster` its processes and
`unprivileged` for somebody who is root; `pool` connections and transactions, `batch` group commit, `recent` reads that
may be a moment old, `migrate` and `schema/` the tables, `vault` secrets at rest, `settings` the knobs.

Then one module per noun: `projects`, `keys` with `key_use` and `nonces`, `quotas`, `domains`, `senders` with
`sender_pages`, `messages` (with their content), `mail_views` (lists of them) and `attachments`, `recipients` (with the
state table), `idempotency` (answers kept by key), `queue`, `lanes`, `events`; `holds`, `waiting` and `queue_views` for
operators; `nodes`, `gates`, `egress` (figures) and `warmups`, `sending` (figures too) and `guards`; `suppressions` and
what leads to them, `inbound` what came back and was not read yet.

Functions take a `Tx`, never commit, never open one; transactions are opened in `engine` and `services`.
"""
