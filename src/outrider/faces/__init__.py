"""Faces: translate, never decide. They know the engine and the services, never the store, nor each other.

api/        HTTP for programs: uSpeedo's dialect, the operational endpoints, the app that carries all routes
console/    HTML for people: so far the pages of the catch mailbox
track/      pixels and tracked links, for mail programs and readers
smtp/       SMTP: the receiver of catch mode, the simulator
settings    the knobs of all three
"""
