"""``python -m tk_analytics_mw …``: the same as ``tk-analytics …``."""

from tk_analytics_mw.cli.main import main

if __name__ == "__main__":
    main(prog_name="python -m tk_analytics_mw")
