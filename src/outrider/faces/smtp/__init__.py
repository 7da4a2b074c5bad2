"""SMTP, the server side.

catch   the receiver of catch mode: takes everything on loopback and keeps it in the mailbox
"""
