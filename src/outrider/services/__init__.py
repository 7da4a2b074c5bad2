"""What customers configure and read. Services do not know each other; what they share is in the floors below.

`accounts` projects and API keys, `access` who calls and how often, `quotas` how much a project may send, `identity`
domains, `dkim_keys` what they sign with, `master_keys` what seals those, `senders` who may be in From, `roster` senders
by the page, `proofs` mailboxes proven by link, `reports` what became of a session, `catch` the built-in mailbox of
catch mode, `signatures` whether those of a message hold, `egress` which pool carries whose mail, `attachments` from
what a caller says of a file to the file, `mail` a project's messages as they stand, `outbox` mail read back and sent
again, `replays` first answers by idempotency key, `return_paths` where bounces come back to, `inbound` reads what came
back, `suppressions` the list of who gets no mail, by hand and by file, `rules` tries rules on what was said,
`verification` looks at the DNS records of domains, `notices` tells people of it. `checkup/` looks at all that keeps
mail from going out or being believed, for `outrider doctor`. `event_log` a project's events, by cursor and live,
`stats` figures of what became of its mail. `settings` has the knobs.
"""
