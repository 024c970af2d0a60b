"""The web side of an App: the endpoint's rules, and the servers that it can sit on."""
