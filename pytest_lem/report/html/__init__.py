"""The page that people look at: records as views, charts of them, one HTML file."""
