"""What a run comes to: tables of counts and a page to look at."""
