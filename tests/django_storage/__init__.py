"""Events in a database of the Django project."""
