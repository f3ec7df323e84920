"""What people look at: the report's files, the page, the dashboard that serves it."""
