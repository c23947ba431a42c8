"""The compact SAM: training and reports."""
