"""Closed-loop drives in the simulator: does pricing by risk drive better than trusting labels?"""
