"""The one page on experiments: the dashboard serves it, and ``report.html`` is the same page with its data inside."""
