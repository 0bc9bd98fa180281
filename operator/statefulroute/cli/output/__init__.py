"""How commands print: messages, tables, lists of objects, progress bars and the screen of `top`."""
