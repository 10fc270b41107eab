"""Markov processes in which every step persuades a receiver who does not look ahead."""
