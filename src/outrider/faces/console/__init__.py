"""HTML pages for people.

mailbox     the pages of the catch mailbox
local_only  who may see them: this machine, and nobody through it
proof       the page behind the link that proves a mailbox, open to the world
pages       what all pages share: templates and headers
templates/  Jinja2, everything escaped
"""
