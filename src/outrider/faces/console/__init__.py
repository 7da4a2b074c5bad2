"""HTML pages for people.

mailbox     the pages of the catch mailbox
local_only  who may see them: this machine, and nobody through it
templates/  Jinja2, everything escaped
"""
