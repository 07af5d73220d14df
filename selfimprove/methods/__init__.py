"""All that a recipe can name: a folder per slot, a file per method."""
