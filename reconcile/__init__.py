"""What was said against what happened: pure functions from vintages and actuals to errors, causes and corrections."""
