"""The ledger's log: an append-only Merkle tree that outsiders can read and check with tools that are not ours.

From the inside out: `merkle` hashes and proves, `note` signs text, `checkpoint` is the signed text, `tiles` names and
encodes the files, `edge` grows the tree, `tile_files` reads them back, `reader` is the offline reader, `log` the one
writer, `proof` the envelope that travels with a certificate. Beside it stands whoever watches: `cosignature` is what a
witness says, `witness` who says it, `witness_protocol` how it is asked; `sole_owner` keeps a second one away. The
formats are C2SP's signed-note, tlog-checkpoint, tlog-tiles, tlog-proof, tlog-cosignature and tlog-witness over RFC 6962
trees.
"""
