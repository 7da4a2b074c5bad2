"""The life of a message: seven stations, one way (DESIGN.md 3).

    submission --> accept --> [queue] --> lanes --> prepare --> (net: talk) --> (policy: judge) --> settle --> feed

`submission` what comes in and what goes back, `accept` station 1, with `check` for what a submission may hold, `books`
whom it asks, `fill` for whose mail a template makes, `inline` for a call that is its own template, `content` for what
is said of it and `kept` for what is kept of it, `wishes` who wants to hear of it, `refusals` who gets none of it;
`lanes` station 2, `prepare` station 3 (it and `fill` have templates ready in `renderers`), with `handed` for mail that
came whole and `dress` for links and pixel (`plans` has where they go ready), `deliver` the loop that drives stations 2
to 6 with `lanework` for one lane, `judge` station 5, `settle` station 6, `feed` station 7. `story` an event told with
its mail. `protect` what is learned about addresses, `preferences` what their readers want, `heard` what was said, kept
to be judged again.

Between a lane and the network: `gates` which source may send now, `ways` where it hands the mail, `lines` who waits for
it and until when, `turns` who is next, `slots` the node's connections, `tally` what passes freely. For operators:
`holds` and `control` act on what waits and leave events (`moves`), `waits` says what leased lanes wait for, `explain`,
`sentences` and `transcript` say why and how it was, `gate_report` and `nodes` tell the database, `warmup` moves stages,
`guard` slows and pauses who does harm, `stops` knows the domains that nothing leaves from.

`service` how long-running parts start and stop, `upkeep` what must be done now and then, `expiry` ends what is over
where nobody works, `letters` how Outrider's own mail is sent once, `settings` the knobs.
"""
