"""APIs of other providers, spoken by us.

uspeedo           routes under /api: their REST calls and their Action API, and the envelope of every answer
uspeedo_types     the records of their JSON
uspeedo_send      SendEmail, to a submission and back
uspeedo_status    SendStatus
uspeedo_senders   GetSenderList
uspeedo_template  SendEmailTemplate, which finds no template yet
uspeedo_template_store  CreateEmailTemplate and its companions
uspeedo_action    which action a call of the Action API is about
uspeedo_faults    from what went wrong to RetCode, Message and Detail
uspeedo_explain   what is wrong with a body that would not decode
"""
