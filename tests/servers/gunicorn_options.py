"""Options of gunicorn that not every version has: unknown names in a configuration are ignored."""

control_socket_disable = True
"""The socket would be one for all servers of this user."""
