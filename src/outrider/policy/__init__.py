"""Decisions: from what was said to what we do about it. Pure functions; knowledge is data, not code.

About an answer or a report: `classify` (with `rules.toml`) turns it into a verdict, `reason` is its vocabulary, `retry`
says when to try again, `suppress` which addresses get no more mail, `guard` when a campaign must stop. About a
provider: `shaping` (with `shaping.toml`) what it takes and how we react to its replies, `throttle` what may happen at a
gate and what replies do to it, with `gate` its state, `gcra` rates in every window, `adapt` the rate that replies
teach, `hits` how often a rule was hit, `reach` when to stay away from a dead server. About a From: `align` whether it
can pass DMARC, and what stands there instead. About content: `attach` which files may travel, `content` what becomes of
a mail for what is in it, `lint` what is plainly wrong with it. About webhooks: `hook` what the answer to a call means,
and when it is tried again. About projects: `quota` who still gets in, `guesses` who guesses passwords, `tracking` which
mail is tracked, `engagement` (with `agents.toml`) whether a reader opened it or a machine, `figures` what figures say,
`alerts` when one raises an alert, `reputation` how mail is seen. About sources: `route` which way mail leaves, `warmup`
(with `warmup.toml`) how much a new source may send in a day.

About receivers on purpose: `simulate` (with `simulate.toml`) reads what a simulator address asks for, `behaviour` is
how one misbehaves. About domains: `key_states` says when a DKIM key begins to sign and when its record may go,
`key_names` what it is called, `standing` says whether one has passed, fails or is stopped. About DNS: `records` what a
domain has to publish, `record_check` what is wrong with what is there, with `record_spf`, `record_keys` and, for what
they share, `record_finding`; `proxies` whose addresses hide a CNAME. About the node: `checkup` what a check says,
`checkup_node` how database, queue, disk and certificate are, `checkup_egress` how a sending address looks to receivers,
`blocklists` (with `blocklists.toml`) what lists say of it.

`masking` shows which replies say the same, `rulefile` reads such files, `sentence` writes numbers for people,
`settings` has the knobs. Everything here takes values and returns values: no clock, no chance, no I/O.
"""
