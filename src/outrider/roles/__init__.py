"""The roles of a process: each module wires one role on what `app` made, and runs it until it is asked to stop.

web      the HTTP faces and `accept`
smtp     what comes back, the simulator, catch mode's receiver
deliver  lanes, attempts, settling
worker   upkeep of the event log, warm-ups, guards, reading what came back

`run(context, stop_asked)` is what each promises. A process imports the module of its own role and no other, a command
none: what it never uses costs neither its start nor its memory. Stop order: faces refuse, then the parts they stand on
finish, then the store closes.
"""
