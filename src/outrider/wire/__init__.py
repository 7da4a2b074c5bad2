"""The wire floor: byte formats and dialogues. Pure: bytes and values in, bytes and values out.

`reply` what a server says, `answer` the last word on one recipient, `smtp_data` what follows DATA,
`smtp_client` our side of an SMTP session, `smtp_server` the other, for mail that is handed in, `dialogue` what was said
in one as a short text, `jwt` access tokens, `body_signature` uSpeedo's signed calls, `hooksign` signatures of webhook
calls, `rspamd` what a junk filter is asked. What an answer means is `policy.classify`; the sockets are `net`.
"""
