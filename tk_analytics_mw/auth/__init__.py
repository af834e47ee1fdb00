"""Who is asking, and what they may do. One scheme a file."""
