"""What mail programs fetch and readers follow: pixels and tracked links.

doors       /o/ and /t/: answer at once from what the token seals, and hand on the hit
secure      both and the page to unsubscribe by https, with a certificate for each host
"""
