"""What customers configure and read. Services do not know each other; what they share is in the floors below.

`accounts` projects and API keys, `project_terms` what a project says of itself, `access` who calls and how often,
`quotas` how much a project may send, `identity` domains, `release` gives them up, `dkim_keys` what they sign with,
`key_keeper` tends those, `mta_sts` the policies of their return paths, `master_keys` what seals those, `senders` who
may be in From, `roster` senders by the page, `proofs` mailboxes proven by link, `reports` what became of a session,
`catch` the built-in mailbox of catch mode, `signatures` whether those of a message hold, `egress` which pool carries
whose mail, `attachments` from what a caller says of a file to the file, `mail` a project's messages as they stand,
`outbox` mail read back and sent again, `replays` first answers by idempotency key, `return_paths` where bounces come
back to, `inbound` reads what came back, `leaving` lets readers go by the link in a mail, `preferences` by their
sender's page, `topics` what they choose from, `suppressions` the list of who gets no mail, by hand and by file, `rules`
tries rules on what was said, `verification` looks at the DNS records of domains, `notices` tells people of it,
`content` judges what mail says. `checkup/` looks at all that keeps mail from going out or being believed, for `outrider
doctor`. `templates/` what mail is made from, and who may send it. `event_log` a project's events, by cursor and live,
`log_search` by what is in them, `retention` how long mail and log are kept, `status_reports` tells by mail who asked
for it, `stats` figures of what became of its mail, `recount` counts them again, `alerts` watches them, `reputation`
judges them, `webhooks/` tells its servers of events. `tracking_terms` what is tracked, `tracking` what readers did.
`settings` has the knobs.
"""
