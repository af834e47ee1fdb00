"""The wire contract, told once and held against every face."""
