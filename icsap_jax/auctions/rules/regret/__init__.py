"""Networks that allocate and charge, kept honest by the price of the gap; feasible and individually rational by construction."""
