"""The life of a message: seven stations, one way (DESIGN.md 3).

    submission --> accept --> [queue] --> lanes --> prepare --> (net: talk) --> (policy: judge) --> settle --> feed

`submission` what comes in and what goes back, `accept` station 1, `lanes` station 2, `prepare` station 3, `deliver` the
loop that drives stations 2 to 6, `settle` station 6, `feed` station 7, `service` how long-running parts start and stop.
"""
