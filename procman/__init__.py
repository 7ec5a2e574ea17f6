"""procman runs a Procfile by Heroku's dyno rules, from a laptop terminal to a server."""

__version__ = "0.1.0"
