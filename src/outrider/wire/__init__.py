"""The wire floor: byte formats and dialogues. Pure: bytes and values in, bytes and values out.

`reply` what a server says, `answer` the last word on one recipient, `smtp_data` a message made safe to send,
`smtp_client` our side of an SMTP session, `dialogue` what was said in it as a short text, `jwt` access tokens,
`body_signature` uSpeedo's signed calls. What an answer means is `policy.classify`; the sockets are `net`.
"""
