"""The commands of seg-perception, one file each: `register` adds the command and its options to the parser."""
