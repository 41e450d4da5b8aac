"""The assemblies: one loop that numbers, journals, steps and carries out, wired for paper or live."""
