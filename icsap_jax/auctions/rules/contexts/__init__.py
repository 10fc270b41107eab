"""Rules that are told public contexts of bidders and items beside the reports."""
