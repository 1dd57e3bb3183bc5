"""Projection by depth images and point clouds: ground, obstacles and holes where they were measured."""
