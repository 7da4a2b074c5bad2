"""Measures Outrider on this machine: `python -m bench [NAME ...] [--quick]`, one script per question.

`rsa_limit` the machine's own bound, `end_to_end` API to sink, `accept_only`, `delivery_only`, `latency` of one mail
on an idle node, `dkim` and `talk_loopback` parts alone. `lines` is what they print, `rig` what the big ones share.
"""
