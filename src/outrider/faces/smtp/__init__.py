"""SMTP, the server side.

catch              the receiver of catch mode: takes everything on loopback and keeps it in the mailbox
inbound            takes what comes back to our return paths, and nothing else
listener           what both have in common: listening, hanging up
simulator          a receiver that does with a mail what its address says; `simulator_reports` writes its late answers,
                   `late_mail` sends them
conversation       what the simulator and the sink of tests have in common
"""
