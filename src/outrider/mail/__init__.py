"""Mail as bytes: addresses, header fields, messages, signatures. Pure: no socket, no clock, no chance, no database.

`address` what people type to `local@domain`; `hosts` names in any script as DNS has them; `mailbox` an address with a
name; `headers` folded, encoded header fields and what may be in them; `mime` parts and files; `build` composes a
message once and addresses it to each recipient; `dkim` signs it; `dkim_verify` checks signatures;
`parse` cuts any message into what a page shows; `encode` writes octets in 7 bits, and makes a message of others fit the
server that is to take it. Of mail that is handed in by SMTP: `roll` reads lists of mailboxes, `repair` puts its header
right and takes what is meant for us out of it, `controls` says what that means.

Of templates: `templating` makes one of what its author wrote, with `translate` and `expressions` (Jinja's tags written
again for minijinja), `styling` (MJML, CSS), `plain` (a text part) on `markup` (HTML in pieces) and `references`
(`&amp;` and its like); `render` fills it in for a recipient in their language (`language_tag`), with `guard` and
`filters` (what a template may touch, counted) or `straight` (variables alone).
Of tracking: `links` finds them and writes them anew, `link_tokens` seals whose a link is and where it leads,
`locations` says which targets may be led to and how, `leaves` writes the texts of mail that came whole in their places.

Of mail that comes back: `verp` signs the return path it comes to; `report` says what it is, by way of `parts` (cut into
parts, bounded), `dsn` (delivery status), `bounce` and `phrases` (the same in words), `arf` (complaints);
`reported` finds the return paths in one that came to a feedback address.

What DNS says of a domain: `look` one question and its answer, `txt` strings and tag lists, `spf` records read and
merged, `spf_check` what they say of an address and cost, `dkim_record` published keys and how two differ, `dmarc`
policies, `orgdomain` which names belong together, `sts_policy` the policy file of MTA-STS, `bimi` whose logo is shown.
"""
