"""APIs of other providers, spoken by us.

uspeedo         routes under /api: SendEmail, SendStatus, and the envelope of every answer
uspeedo_types   the records of its JSON
uspeedo_faults  from what went wrong to RetCode, Message and Detail
basic           HTTP Basic credentials
"""
