"""Builds a data set in the released layout of SALMU, stage by stage."""
