"""Atari in, difference frames out."""
