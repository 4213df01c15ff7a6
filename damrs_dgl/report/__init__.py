"""Pictures of what was found, and the page that shows it all; matplotlib is imported when one is drawn."""
