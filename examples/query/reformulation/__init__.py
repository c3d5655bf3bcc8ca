"""How a query is turned into other queries.

`linkage` reads what the parser says. `by_links` and `by_phrases` are the two variants,
`keywords` is what is left when there is no parse, `english` knows a little grammar, and
`weighted` is what all of them return.
"""
