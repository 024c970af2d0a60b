"""Signing users in to OAuth connections of the bot (api-surface.md 1.7 and 1.10).

ctx.sign_in asks the token service for the user's token
    it has one         that is returned
    404                a card is sent (cards.py), and the sign-in is pending (pending.py)
    anything else      is an error
then the user's client, or the user, completes it (handlers.py)
    signin/tokenExchange, signin/verifyState, signin/failure, or six digits typed by hand
"""
