"""Seasonal forecasts with calibrated quantiles and scenarios."""
