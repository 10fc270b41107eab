"""Published tables, rebuilt: `icsap reproduce NAME`. Each table is a file in `tables/`, which holds what the authors printed and the
problem files that are trained to stand beside it; `rows` reads them, `measure` trains and judges, `text` prints."""
