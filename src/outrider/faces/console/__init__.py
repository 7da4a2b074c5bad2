"""HTML pages for people.

mailbox     the pages of the catch mailbox
local_only  who may see them: this machine, and nobody through it
proof       the page behind the link that proves a mailbox, open to the world
leaving     the page behind the link to unsubscribe, the same; `leaving_form`
            what its buttons ask for, `words` what it says
pages       what all pages share: templates and headers
templates/  Jinja2, everything escaped
"""
