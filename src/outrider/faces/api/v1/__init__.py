"""Our own REST API, under /v1: JSON in snake_case, errors as problem details (RFC 9457); OpenAPI 3.1 says it all.

routes     a call as a row: method, path, scope, typed function; what serving, guard and document share
call       one request on its way through, and answers that are no JSON
reading    from octets to typed values; errors name the field
problem    from an error to its problem details
face       the envelope around every call: route, guard, read, act, write
entry      who is calling, and how often it may
table      all rows, and the document at /v1/openapi.json
document   the rows in OpenAPI 3.1
messages   /v1/emails: hand in mail, see it, stop it, send it again; `filling` what fills it in
`message_types`, `template_types`  the records of their JSON
content    /v1/content: how a mail would be judged
events     /v1/events: by cursor, and live as server-sent events; `event_search` by what is in them
stats      /v1/stats: figures; `alerts` /v1/alerts: those that are watched; /v1/reputation: how mail is seen
domains    /v1/domains: records, verification, settings, DKIM keys
senders    /v1/senders
suppressions  /v1/suppressions: one by one, and as CSV
`topics`, `preferences`  /v1/topics: lists to choose from; /v1/preferences: what one reader gets
templates  /v1/templates: versions, publishing, previews, tests; `partials` /v1/partials: pieces that they include
keys       /v1/keys and /v1/tokens
webhooks   /v1/webhooks: events told to the project's own servers
tracking   /v1/tracking, and of a domain: what is tracked
project    /v1/project with notices, guards and what waits
paging     what their lists have in common
"""
