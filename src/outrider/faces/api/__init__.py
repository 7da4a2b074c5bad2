"""HTTP for programs.

app          make_app: all route handlers in one Litestar app
server       granian in this process, on a port that the web processes share
credentials  what a request shows of who calls; `basic` HTTP Basic, one of its forms
rate         what is left of a key's rate, in headers
ports        what this face needs from the floors below, as protocols
operational  /healthz, /readyz, /metrics and the front page
well_known   /.well-known/mta-sts.txt: policies of return paths
reference    /docs: Swagger UI over the document of /v1
markup       tells HTML from plain text
body         reads a request body within its bounds
v1/          our own REST API
dialects/    one module per provider whose API we speak
"""
