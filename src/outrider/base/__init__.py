"""The ground floor: words, limits, errors, identifiers and the clock contract. Pure; imports nothing of ours.

`errors` the error tree, `limits` every hard number with its source, `ids` UUIDv7, `digits` numbers that others write,
`networks` ranges of addresses, `instants` times that others give us, `places` where a page of a list ended, `sheets`
cells of CSV files, `clock` what a clock promises, `vocab` the enums customers see.
"""
