"""Charts of experiments, as plain figures that Plotly draws."""
