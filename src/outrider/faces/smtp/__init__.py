"""SMTP, the server side.

submission         takes mail from our own users: who they are (`login`), their transactions one by one (`transaction`),
                   what they hear of an error (`errors`), and how many large messages are in memory (`places`)
catch              the receiver of catch mode: takes everything on loopback and keeps it in the mailbox
inbound            takes what comes back to our return paths, and nothing else
contents           what comes after DATA, with little memory
listener           what these three have in common: listening, hanging up
simulator          a receiver that does with a mail what its address says; `simulator_reports` writes its late answers,
                   `late_mail` sends them
conversation       what the simulator and the sink of tests have in common
"""
