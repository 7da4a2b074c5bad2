"""Measures Outrider on this machine: `python -m bench [NAME ...] [--quick]`, one script per question.

    rsa_limit        the machine's own bound, all cores at once
    dkim             a signature alone
    api_call         the web face alone, beside Litestar with nothing
    throttle         a provider that refuses above 5 mails/s, drawn as a picture
    talk_loopback    a conversation alone
    clients          our client beside aiosmtplib, Outrider beside Postfix with OpenDKIM
    claim_cost       lease, claim and give-back against 10^3 to 10^6 mails that wait
    latency          one mail on an idle node
    backlog_latency  one mail while a million others wait
    accept_only      API to disk, beside a server that does nothing (`bare`)
    suppressed       API to disk, with none and with a million suppressions stored
    retries          50,000 retries over 5,000 idempotency keys: one mail each?
    mail_lists       a list of mails
    event_feed       one project's events, and what indexes would cost that lists do without
    figures          counted from the log, counted again, and asked for at 10 million events
    track            links followed and mails opened: one web worker, all that it writes included
    delivery_only    disk to sink
    end_to_end       API to sink
    templated        the same from a template: its rate over that without
    new_connection   the same with a connection for each mail
    routes           the same to 50,000 domains
    soak             a quarter of an hour of trouble: what grows, what is lost? By its name alone

`lines` is what they print, `rig` what the big ones share. What they know of the inside: `backlog` writes the tables and
`soak` reads them, `claim_cost` calls the store's functions, `talker` the connection pool, `clicks` makes the tokens,
`postfix` knows Postfix.
"""
