"""What strangers send: programs, model folders, chat templates, and text that is shown."""
