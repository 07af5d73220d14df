"""A run as one HTML file: it runs no script, asks for nothing, and shows text of strangers as text."""
