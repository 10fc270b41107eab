"""What a run or a sweep comes to, told to people: the page that `icsap report` writes, and pictures of a whole sweep.

`gathered` reads a run or a sweep, `fronts` says which members nobody would give up, `curves` how they were trained; of that `overview`
makes the plots, `learned` adds what each domain draws, and `page` puts all into one file. `contrast` draws any picture in black, white and
one accent. The look is set in `icsap_jax.figures`.
"""
