"""The REST client of the Bot Connector and its seam to the network."""
