"""What customers configure and read. Services do not know each other; what they share is in the floors below.

`accounts` projects and API keys, `access` who calls and how often, `quotas` how much a project may send, `identity`
domains, DKIM keys and senders, `roster` senders by the page, `reports` what became of a session, `catch` the built-in
mailbox of catch mode, `signatures` whether those of a message hold, `egress` which pool carries whose mail,
`return_paths` where bounces come back to, `inbound` reads what came back, `attachments` from what a caller says of a
file to the file, `mail` a project's messages as they stand, `outbox` mail read back and sent again, `replays` first
answers by idempotency key, `suppressions` the list of who gets no mail, by hand and by file, `rules` tries rules on
what was said. `settings` has the knobs.
"""
