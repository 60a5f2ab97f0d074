"""Experiments on real material whose tables and pictures stand in the documentation."""
