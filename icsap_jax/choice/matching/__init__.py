"""Two-sided matching without money: workers and firms report whom they like, and a rule matches them."""
