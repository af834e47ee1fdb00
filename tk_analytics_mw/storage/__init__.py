"""Where events are kept. One engine a file; ``urls.py`` finds the one that a setting names."""
