"""Webhooks: a project's events told to its own servers, as they happen, at least once.

    [event log] --dispatch--> [calls that wait] --sending--> the customer's server        ... retried for three days

`endpoints` what customers configure, ask and repeat; `payload` what is said; `dispatch` from events to calls, in the
transaction that moves its cursor; `outlet` one webhook in the hands of a sender, whose calls may go now; `sending` the
loop that leases webhooks and calls them; `standing` pauses, disables and resumes by what came back; `upkeep` gives up
what is too old.
"""
