"""The applications that are compared, each server process serving one of them.

A module imports what its own application needs and no more: a larger heap costs each request, by way of the garbage
collector.
"""
