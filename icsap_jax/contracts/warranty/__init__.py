"""The used car: warranties and deposits as signals of quality."""
