"""Templates: written, published, approved, tried out, found by those who send; and the partials they share.

`versions` what a version is and how one comes to be sent, with the table of states; `templates` what is done with one
template; `partials` the pieces that templates include; `trial` previews and tests; `published` what is sent, from
memory.
"""
