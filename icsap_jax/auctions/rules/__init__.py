"""Rules an auction may use, by how they come to be incentive compatible: by a priced gap (`regret`), by construction (`menus`,
`affine`, `single`)."""
