"""What people look at: the report and its page, plots, the dashboard."""
