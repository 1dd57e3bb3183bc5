"""What people run today, written anew from public sources, so that it can be compared with."""
