"""A run as one file to send to a colleague: `content` says what there is to say, `html` and `markdown` how."""
