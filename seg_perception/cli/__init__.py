"""The commands of seg-perception, one file each: `register` adds its arguments, and what runs it."""
