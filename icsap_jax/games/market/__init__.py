"""An exchange economy and the two theorems of welfare economics."""
