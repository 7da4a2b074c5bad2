"""HTML pages for people.

mailbox       the pages of the catch mailbox
local_only    who may see them: this machine, and nobody through it
message_view  a message cut into what a page shows
signatures    its DKIM signatures, checked against the keys we would publish
templates/    Jinja2, everything escaped
"""
