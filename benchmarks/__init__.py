"""What DPL measures of itself: ratios within one run, against yardsticks beside it."""
