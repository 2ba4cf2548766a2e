"""From results.json to the page, the plots, the README's table and the terminal's."""
