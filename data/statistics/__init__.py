"""What traffic is like, class by class: arrivals, lengths, tails, quality, drift."""
