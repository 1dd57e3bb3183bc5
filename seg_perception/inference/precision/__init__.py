"""The network in float16 or int8, with the precision written into the graph."""
