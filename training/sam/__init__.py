"""The compact SAM: training, ranking, averages and reports. `images` has what it is shown."""
