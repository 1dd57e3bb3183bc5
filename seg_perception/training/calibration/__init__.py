"""Calibration of a network: temperature and vector scaling, fitted to labelled images."""
