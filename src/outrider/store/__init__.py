"""All SQL and nothing but SQL: the one place that knows PostgreSQL.

`embedded` the server that comes with the package, with `cluster` its files, `postmaster` its processes and
`unprivileged` for somebody who is root; `pool` connections and transactions, `batch` group commit, `recent` reads that
may be a moment old, `migrate` and `schema/` the tables, `vault` secrets at rest and `master_key` what seals them,
`settings` the knobs.

Then one module per noun: `projects`, `keys` with `key_use` and `nonces`, `quotas`, `domains` with their `dkim_keys` and
`domain_records` (what DNS said), `senders` with `sender_pages`, `notices`, `templates`, `messages` (with content),
`mail_views` (lists of them), `attachments`, `recipients` (with the state table), `idempotency` (answers kept by key),
`queue`, `lanes`, `events` with `project_feed` (one project's), `log_search` and `stats` (counted from them),
`figure_sums` of a time, `alerts` that watch those, `reputation` why mail was deferred, `intake` (new mail's rows of
five of these), `retention` (what is over is deleted); `holds`, `waiting` and `queue_views` for operators; `nodes`,
`gates`, `egress` (figures) and `warmups`, `sending` (figures too) and `guards`; `status_reports` by mail, and who asked
for them; `suppressions` and what leads to them, `topics` that readers choose from, `inbound` what came back and was not
read yet; `webhooks` with `webhook_calls` that wait and `webhook_log` of those made; `tracking` what is tracked,
`engagement` what readers did; `health` what the database says of itself, for a check-up.

Functions take a `Tx`, never commit, never open one; transactions are opened in `engine` and `services`.
"""
