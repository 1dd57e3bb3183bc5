"""Metrics of plain arrays: IoU, boundary F-score, panoptic quality, calibration error, realized cost, intervals."""
