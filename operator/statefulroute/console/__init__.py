"""The console: a server on this machine that shows routes in a browser, with the rights of the user who starts it."""
