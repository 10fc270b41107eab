"""Institutions that punish, as games."""
